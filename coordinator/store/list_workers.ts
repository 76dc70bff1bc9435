import { z } from 'zod';
import { sql } from './pool.ts';
import type { Queryable } from './pool.ts';

const workerRow = z.object({
  sessionId: z.string(),
  coordinatorId: z.string(),
  workerId: z.string(),
  instanceId: z.string(),
  queues: z.array(z.string()),
  windowJobs: z.number(),
  leases: z.number(),
  /** Not settled yet, over all its leases. */
  jobs: z.number(),
  sdk: z.string(),
  sdkVersion: z.string(),
  connectedAtMs: z.number(),
});
export type WorkerRow = z.infer<typeof workerRow>;

/** Sessions on all coordinators, by their id; those that serve `queue` (undefined: all) and come after `idAfter`. */
export async function listWorkers(pool: Queryable, queue: string | undefined, idAfter: string, limit: number): Promise<WorkerRow[]> {
  return [...(await pool.any(sql.type(workerRow)`
    select s.id as "sessionId", s.coordinator_id as "coordinatorId", s.worker_id as "workerId", s.instance_id as "instanceId",
           s.queues, s.window_jobs as "windowJobs", l.leases, l.jobs, s.sdk, s.sdk_version as "sdkVersion",
           date_part('epoch', s.connected_at) * 1000 as "connectedAtMs"
      from skiplease.session s
     cross join lateral (
       select count(*)::int as leases, coalesce(sum(length(settled) - bit_count(settled)), 0)::int as jobs
         from skiplease.lease where session_id = s.id and bit_count(settled) < length(settled)) l
     where s.id > ${idAfter}::uuid and (${queue ?? null}::text is null or ${queue ?? null}::text = any(s.queues))
     order by s.id limit ${limit}::int`))];
}
