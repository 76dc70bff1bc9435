import { z } from 'zod';
import type { Limit } from '../types.ts';
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
  /** null: none. */
  limit: z.custom<Limit>().nullable(),
  keyLimit: z.custom<Limit>().nullable(),
  /** A number of SerialRetry. */
  serialRetry: z.number(),
  /** null: none. */
  waitingMax: z.number().nullable(),
});
export type QueueRow = z.infer<typeof queueRow>;

/** What is to change; what is left out stays. */
export type QueueChange = Partial<Omit<QueueRow, 'id' | 'name'>>;

const COLUMNS = sql.fragment`id, name, paused, lease_jobs_max as "leaseJobsMax", max_attempts as "maxAttempts",
  backoff_initial_ms as "backoffInitialMs", backoff_factor as "backoffFactor", backoff_max_ms as "backoffMaxMs",
  backoff_jitter as "backoffJitter", "limit", key_limit as "keyLimit", serial_retry as "serialRetry",
  waiting_max as "waitingMax"`;

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

/** Changes what decides who may run: its gates and leases must be made to fit (Store.reviewLimits). */
export function changesLimits({ limit, keyLimit, serialRetry }: QueueChange): boolean {
  return limit !== undefined || keyLimit !== undefined || serialRetry !== undefined;
}

/** undefined: there is no such queue. */
export async function changeQueue(pool: Queryable, name: string, change: QueueChange): Promise<QueueRow | undefined> {
  return (await pool.maybeOne(sql.type(queueRow)`
   with changed as (
    update skiplease.queue set
        paused = coalesce(${change.paused ?? null}::boolean, paused),
        lease_jobs_max = coalesce(${change.leaseJobsMax ?? null}::int, lease_jobs_max),
        max_attempts = coalesce(${change.maxAttempts ?? null}::int, max_attempts),
        backoff_initial_ms = coalesce(${change.backoffInitialMs ?? null}::float8, backoff_initial_ms),
        backoff_factor = coalesce(${change.backoffFactor ?? null}::float8, backoff_factor),
        backoff_max_ms = coalesce(${change.backoffMaxMs ?? null}::float8, backoff_max_ms),
        backoff_jitter = coalesce(${change.backoffJitter ?? null}::float8, backoff_jitter),
        "limit" = case when ${change.limit !== undefined}::boolean then ${json(change.limit)}::jsonb else "limit" end,
        key_limit = case when ${change.keyLimit !== undefined}::boolean then ${json(change.keyLimit)}::jsonb else key_limit end,
        waiting_max = case when ${change.waitingMax !== undefined}::boolean then ${change.waitingMax ?? null}::int else waiting_max end,
        serial_retry = coalesce(${change.serialRetry ?? null}::int, serial_retry),
        limits_changed_at = case when ${changesLimits(change)}::boolean then skiplease.now() else limits_changed_at end
     where name = ${name} returning *
   ),
   gate as (
    insert into skiplease.gate (queue_id, kind, key) select id, 1, '' from changed where limited on conflict do nothing
   )
   select ${COLUMNS} from changed`)) ?? undefined;
}

function json(limit: Limit | null | undefined): string | null {
  return limit === null || limit === undefined ? null : JSON.stringify(limit);
}
