import { z } from 'zod';
import { sql } from './pool.ts';
import type { Queryable } from './pool.ts';

/** A queue and its settings. */
const queueRow = z.object({
  id: z.number(),
  name: z.string(),
  paused: z.boolean(),
  leaseJobsMax: z.number(),
  maxAttempts: z.number(),
  backoffInitialMs: z.number(),
  backoffFactor: z.number(),
  backoffMaxMs: z.number(),
  backoffJitter: z.number(),
});
export type QueueRow = z.infer<typeof queueRow>;

/** What is to change; what is left out stays. */
export type QueueChange = Partial<Omit<QueueRow, 'id' | 'name'>>;

const COLUMNS = sql.fragment`id, name, paused, lease_jobs_max as "leaseJobsMax", max_attempts as "maxAttempts",
  backoff_initial_ms as "backoffInitialMs", backoff_factor as "backoffFactor", backoff_max_ms as "backoffMaxMs",
  backoff_jitter as "backoffJitter"`;

/** By name, those that come after `nameAfter`. */
export async function listQueues(pool: Queryable, nameAfter: string, limit: number): Promise<QueueRow[]> {
  return [...(await pool.any(sql.type(queueRow)`
    select ${COLUMNS} from skiplease.queue where name > ${nameAfter} order by name limit ${limit}::int`))];
}

/** undefined: there is no such queue. */
export async function getQueue(pool: Queryable, name: string): Promise<QueueRow | undefined> {
  return (await pool.maybeOne(sql.type(queueRow)`select ${COLUMNS} from skiplease.queue where name = ${name}`)) ?? undefined;
}

/** Those of these names that there are. */
export async function queuesNamed(pool: Queryable, names: string[]): Promise<QueueRow[]> {
  return [...(await pool.any(sql.type(queueRow)`select ${COLUMNS} from skiplease.queue where name = any(${sql.array(names, 'text')})`))];
}

/** undefined: there is no such queue. */
export async function changeQueue(pool: Queryable, name: string, change: QueueChange): Promise<QueueRow | undefined> {
  return (await pool.maybeOne(sql.type(queueRow)`
    update skiplease.queue set
        paused = coalesce(${change.paused ?? null}::boolean, paused),
        lease_jobs_max = coalesce(${change.leaseJobsMax ?? null}::int, lease_jobs_max),
        max_attempts = coalesce(${change.maxAttempts ?? null}::int, max_attempts),
        backoff_initial_ms = coalesce(${change.backoffInitialMs ?? null}::float8, backoff_initial_ms),
        backoff_factor = coalesce(${change.backoffFactor ?? null}::float8, backoff_factor),
        backoff_max_ms = coalesce(${change.backoffMaxMs ?? null}::float8, backoff_max_ms),
        backoff_jitter = coalesce(${change.backoffJitter ?? null}::float8, backoff_jitter)
     where name = ${name} returning ${COLUMNS}`)) ?? undefined;
}
