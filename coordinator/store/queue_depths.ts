import { z } from 'zod';
import type { Limit } from '../types.ts';
import { sql } from './pool.ts';
import type { Queryable } from './pool.ts';

/** Where counting stops, so that looking at a backlog of millions costs no more than looking at this many rows. */
export const DEPTH_MAX = 50_000;

const depthRow = z.object({
  queueId: z.number(),
  queue: z.string(),
  ready: z.number(),
  leased: z.number(),
  scheduled: z.number(),
  blocked: z.number(),
  /** A count stopped at DEPTH_MAX: the true ones are at least as large. */
  capped: z.boolean(),
  /** null: none is ready. */
  oldestReadyAgeMs: z.number().nullable(),
  /** Of the blocked ones, by what they wait for. */
  blockedByDependency: z.number(),
  blockedBySerialKey: z.number(),
  blockedByLimitKey: z.number(),
  /** Of the queue's rate; null: it has none. */
  tokens: z.number().nullable(),
  paused: z.boolean(),
  /** null: none. */
  limit: z.custom<Limit>().nullable(),
  /** Some connected worker takes jobs of it. */
  served: z.boolean(),
});
export type QueueDepthRow = z.infer<typeof depthRow>;

/**
 * Depths of these queues, or of all. Ready: along the claim order of each priority. Leased: the clear bits of the leases.
 * Scheduled: among the jobs that are due next over all queues, since `scheduled` is ordered by time alone. The oldest ready
 * job stands at the lowest position of one of the priorities.
 */
export async function queueDepths(pool: Queryable, queueIds: number[] | undefined): Promise<QueueDepthRow[]> {
  const wanted = queueIds === undefined ? sql.fragment`true` : sql.fragment`id = any(${sql.array(queueIds, 'int4')})`;
  return [...(await pool.any(sql.type(depthRow)`
    with due as materialized (
      select queue_id, count(*)::int as jobs
        from (select queue_id from skiplease.scheduled order by run_at limit ${DEPTH_MAX}::int) s group by queue_id
    ),
    total as materialized (select coalesce(sum(jobs), 0) >= ${DEPTH_MAX}::int as capped from due),
    held as materialized (
      select queue_id, least(sum(length(settled) - bit_count(settled)), ${DEPTH_MAX}::int)::int as jobs from skiplease.lease group by queue_id
    )
    select q.id as "queueId", q.name as queue, q.paused, q."limit", r.jobs as ready, coalesce(h.jobs, 0) as leased, coalesce(d.jobs, 0) as scheduled, b.jobs as blocked,
           t.capped or r.jobs >= ${DEPTH_MAX}::int or coalesce(h.jobs, 0) >= ${DEPTH_MAX}::int or b.jobs >= ${DEPTH_MAX}::int as capped,
           b.dependency as "blockedByDependency", b.serial_key as "blockedBySerialKey", b.limit_key as "blockedByLimitKey", g.tokens,
           date_part('epoch', skiplease.now() - o.since) * 1000 as "oldestReadyAgeMs",
           exists (select 1 from skiplease.session s where q.name = any(s.queues)) as served
      from (select id, name, paused, "limit", rate_starts, rate_period_ms, rate_burst from skiplease.queue where ${wanted}) q
     cross join total t
     cross join lateral (
       select count(*)::int as jobs from (select 1 from skiplease.ready where queue_id = q.id limit ${DEPTH_MAX}::int) x) r
     cross join lateral (
       select count(*)::int as jobs, (count(*) filter (where reason = 1))::int as dependency, (count(*) filter (where reason = 2))::int as serial_key,
              (count(*) filter (where reason = 3))::int as limit_key
         from (select reason from skiplease.blocked where queue_id = q.id limit ${DEPTH_MAX}::int) x) b
     cross join lateral (
       select min(f.since) as since from generate_series(0, 9) as g (priority)
        cross join lateral (select since from skiplease.ready where queue_id = q.id and priority = g.priority
                             order by "position" limit 1) f where r.jobs > 0) o
      left join lateral (
        select skiplease.bucket(tokens, tokens_at, skiplease.now(), q.rate_starts, q.rate_period_ms, q.rate_burst) as tokens
          from skiplease.gate where queue_id = q.id and kind = 1 and key = '' and q.rate_starts is not null) g on true
      left join due d on d.queue_id = q.id
      left join held h on h.queue_id = q.id
     order by q.name`))];
}
