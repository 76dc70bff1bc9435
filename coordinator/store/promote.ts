import { POSITIONS_OF_A_DRAW, PROMOTE_JOBS_MAX } from '../limits.ts';
import type { HotConnection, Statement } from './hot_connection.ts';
import type { Level } from './levels.ts';

export interface Promotion {
  /** Where jobs became ready. */
  levels: Level[];
  /** How many left `scheduled`. */
  jobs: number;
  /** Until the next scheduled job is due: milliseconds; null: there is none. */
  nextDueMs: number | null;
}

const PROMOTE: Statement = {
  name: 'promote',
  text: `
  with clock as materialized (select skiplease.now() as now),
  due as materialized (
    select s.ctid as tid, s.* from skiplease.scheduled s where s.run_at <= (select now from clock)
     order by s.run_at limit ${PROMOTE_JOBS_MAX} for update skip locked
  ),
  gone as (delete from skiplease.scheduled where ctid = any(array(select tid from due))),
  waiting as (
    insert into skiplease.ready ("position", job_id, since, queue_id, bytes, priority, attempt, again)
    select (select nextval('skiplease.position')) * ${POSITIONS_OF_A_DRAW} + row_number() over (order by run_at, job_id),
           job_id, run_at, queue_id, bytes, priority, attempt, true
      from due where not special
    returning queue_id, priority, "position"
  ),
  placed as materialized (
    select p.queue_id, p.priority, p."position" from (
      select array_agg(job_id) as job_ids, array_agg(queue_id) as queue_ids, array_agg(bytes) as bytes,
             array_agg(priority) as priorities, array_agg(attempt) as attempts
        from (select * from due where special order by run_at, job_id) d
    ) s
     cross join lateral skiplease.place(s.job_ids, s.queue_ids, s.bytes, s.priorities, s.attempts) p
     where s.job_ids is not null
  ),
  moved as (select * from waiting union all select * from placed)
  select w.queue_id, w.priority, w.position_min, (select count(*) from due),
         (select date_part('epoch', run_at - clock.now) * 1000 from skiplease.scheduled where run_at > (select now from clock) order by run_at limit 1)
    from clock left join (select queue_id, priority, min("position") as position_min
                            from moved group by queue_id, priority) w on true`,
};

/** Moves due jobs to ready, and tells when the next one is due: our own idea of that moment is a little early or late. */
export async function promote(connection: HotConnection): Promise<Promotion> {
  const rows = await connection.run(PROMOTE, []);
  const moved = rows.filter((row) => row[0] !== null);
  return {
    levels: moved.map((row) => ({ queueId: Number(row[0]), priority: Number(row[1]), positionMin: BigInt(row[2]!) })),
    jobs: Number(rows[0]![3]),
    nextDueMs: rows[0]![4] === null ? null : Number(rows[0]![4]),
  };
}
