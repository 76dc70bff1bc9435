import { z } from 'zod';
import { sql } from './pool.ts';
import type { Queryable } from './pool.ts';

const leaseRow = z.object({
  leaseId: z.string(),
  queue: z.string(),
  /** null: its session is gone, and the worker has not come back yet. */
  workerId: z.string().nullable(),
  sessionId: z.string(),
  coordinatorId: z.string(),
  jobIds: z.array(z.string()),
  jobsSettled: z.number(),
  grantedAtMs: z.number(),
});
export type LeaseRow = z.infer<typeof leaseRow>;

export interface LeaseFilter {
  queue: string | undefined;
  workerId: string | undefined;
}

/** Leases with something left to do, by their id, those after `idAfter`. Job ids: the ones that are not settled. */
export async function listLeases(pool: Queryable, { queue, workerId }: LeaseFilter, idAfter: string, limit: number): Promise<LeaseRow[]> {
  return [...(await pool.any(sql.type(leaseRow)`
    select l.id::text as "leaseId", q.name as queue, s.worker_id as "workerId", l.session_id as "sessionId",
           l.coordinator_id as "coordinatorId", u.ids as "jobIds", bit_count(l.settled)::int as "jobsSettled",
           date_part('epoch', l.granted_at) * 1000 as "grantedAtMs"
      from skiplease.lease l
      join skiplease.queue q on q.id = l.queue_id
      left join skiplease.session s on s.id = l.session_id
     cross join lateral (
       select array_agg(t.id::text order by t.place) as ids from unnest(l.job_ids) with ordinality as t (id, place)
        where get_bit(l.settled, t.place::int - 1) = 0) u
     where l.id > ${idAfter}::bigint and bit_count(l.settled) < length(l.settled)
       and (${queue ?? null}::text is null or q.name = ${queue ?? null}::text)
       and (${workerId ?? null}::text is null or s.worker_id = ${workerId ?? null}::text)
     order by l.id limit ${limit}::int`))];
}
