import { POSITIONS_OF_A_DRAW, PROMOTE_JOBS_MAX } from '../limits.ts';
import type { HotConnection, Statement } from './hot_connection.ts';
import type { Level } from './levels.ts';

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
      from due
    returning queue_id, priority, "position"
  )
  select queue_id, priority, min("position"), count(*) from waiting group by queue_id, priority`,
};

/** Moves due jobs to ready. Returns the levels they went to, and how many there were. */
export async function promote(connection: HotConnection): Promise<{ levels: Level[]; jobs: number }> {
  const rows = await connection.run(PROMOTE, []);
  return {
    levels: rows.map((row) => ({ queueId: Number(row[0]), priority: Number(row[1]), positionMin: BigInt(row[2]!) })),
    jobs: rows.reduce((sum, row) => sum + Number(row[3]), 0),
  };
}
