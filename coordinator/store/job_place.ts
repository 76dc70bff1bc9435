import { z } from 'zod';
import type { JobOptions } from '../types.ts';
import { sql } from './pool.ts';

/**
 * Where a job is, is its state: in outcome it is final, else it is in exactly one of scheduled, blocked, ready and a lease
 * whose bit for it is clear. One snapshot sees it in one of them, however fast it moves; in two statements it could be nowhere.
 *
 * Expects a CTE `wanted (id uuid)` before it, and gives CTEs up to `place`: a row for each of them that is a job.
 * A job is found in ready by the position it was given at first, or, when it has been there before, by `again`.
 * Leases are looked into only for what is in none of the tables: first a scan of their arrays in C (few ids), else all
 * their ids are joined by hash.
 */
export const PLACE = sql.fragment`
  found as materialized (
    select j.id, j.queue_id, j.priority, j.type, j.max_attempts, j.timeout_ms, j.content_type, j.headers, j.origin_id, j.options,
           o.state as outcome_state, o.attempt as outcome_attempt, o.finished_at, o.reason,
           s.run_at as due_at, coalesce(s.attempt, r.attempt, b.attempt) as next_attempt, r."position" as ready_position,
           b.reason as blocked_reason
      from wanted w
     cross join lateral (select * from skiplease.job where id = w.id offset 0) j
      left join lateral (select * from skiplease.outcome where job_id = w.id offset 0) o on true
      left join lateral (select * from skiplease.scheduled where job_id = w.id offset 0) s on true
      left join lateral (select attempt, reason from skiplease.blocked where job_id = w.id offset 0) b on true
      left join lateral (
        select attempt, "position" from skiplease.ready
         where queue_id = j.queue_id and priority = j.priority and "position" = j."position" and job_id = w.id
         union all
        select attempt, "position" from skiplease.ready where again and job_id = w.id
         limit 1) r on true
  ),
  elsewhere as materialized (
    select id, queue_id from found where outcome_state is null and due_at is null and ready_position is null and blocked_reason is null
  ),
  held as materialized (
    select u.job_id, u.place, l.id as lease_id, l.attempts[u.place] as attempt, l.session_id, l.coordinator_id
      from skiplease.lease l
     cross join lateral unnest(l.job_ids) with ordinality as u (job_id, place)
     where exists (select 1 from elsewhere)
       and l.queue_id in (select queue_id from elsewhere)
       and ((select count(*) from elsewhere) > 8 or l.job_ids && (select array_agg(id) from elsewhere))
       and u.job_id in (select id from elsewhere)
       and get_bit(l.settled, u.place::int - 1) = 0
  ),
  place as materialized (
    select f.*, h.lease_id, h.place as lease_place, h.session_id, h.coordinator_id,
           case when f.outcome_state is not null then f.outcome_state
                when f.due_at is not null then 1
                when f.ready_position is not null then 2
                when f.blocked_reason is not null then 7
                when h.lease_id is not null then 3 end as state,
           coalesce(f.outcome_attempt, f.next_attempt - 1, h.attempt, 0) as attempt
      from found f left join held h on h.job_id = f.id
  )`;

/** Changes whenever anything that a watcher is shown changes. From `place p`, `progress g` and `retried t`. */
export const MARK = sql.fragment`concat_ws(' ', p.state, p.blocked_reason, p.attempt, p.due_at, p.lease_id, p.session_id, g.updated_at, t.job_id)`;

/** A job without its payload, result and history. Times in milliseconds of the database's clock. */
export const jobRow = z.object({
  id: z.string(),
  queue: z.string(),
  type: z.string(),
  /** null: it was found nowhere, which must not happen. */
  state: z.number().nullable(),
  priority: z.number(),
  attempt: z.number(),
  maxAttempts: z.number(),
  timeoutMs: z.number().nullable(),
  headers: z.record(z.string(), z.string()).nullable(),
  originId: z.string().nullable(),
  /** Without the jobs that it waited for, which may be a thousand. */
  options: z.custom<JobOptions>().nullable(),
  /** A number of BlockedReason, while BLOCKED. */
  blockedReason: z.number().nullable(),
  retriedAsId: z.string().nullable(),
  dueAtMs: z.number().nullable(),
  finishedAtMs: z.number().nullable(),
  cancelReason: z.string().nullable(),
  /** The same in a word. */
  cancelCode: z.string().nullable(),
  workerId: z.string().nullable(),
  errorCode: z.string().nullable(),
  errorMessage: z.string().nullable(),
});
export type JobRow = z.infer<typeof jobRow>;

/** Columns of jobRow, from `place p` and what JOB_JOINS joins to it. */
export const JOB_COLUMNS = sql.fragment`
  p.id, q.name as queue, p.type, p.state, p.priority, p.attempt, coalesce(p.max_attempts, q.max_attempts) as "maxAttempts",
  p.timeout_ms::float8 as "timeoutMs", p.headers, p.origin_id as "originId", p.options - 'after' as options, p.blocked_reason as "blockedReason", t.job_id as "retriedAsId",
  date_part('epoch', p.due_at) * 1000 as "dueAtMs", date_part('epoch', p.finished_at) * 1000 as "finishedAtMs",
  p.reason[2] as "cancelReason", p.reason[1] as "cancelCode", w.worker_id as "workerId", a.error_code as "errorCode", a.error_message as "errorMessage"`;

export const JOB_JOINS = sql.fragment`
  join skiplease.queue q on q.id = p.queue_id
  left join skiplease.retried t on t.origin_id = p.id
  left join skiplease.session w on w.id = p.session_id
  left join lateral (select error_code, error_message from skiplease.attempt
                      where job_id = p.id order by number desc limit 1) a on true`;
