import type { HotConnection, Row, Statement } from './hot_connection.ts';

/** A queue's priority where something waits. */
export interface Level {
  queueId: number;
  priority: number;
  /** The lowest position that waits. */
  positionMin: bigint;
}

/** Walks from level to level by the index instead of reading every waiting row. */
const SCAN: Statement = {
  name: 'scan_levels',
  text: `
  with recursive level as (
    (select queue_id, priority, "position" from skiplease.ready order by queue_id, priority, "position" limit 1)
    union all
    select n.queue_id, n.priority, n."position" from level l cross join lateral (
      select queue_id, priority, "position" from skiplease.ready
       where (queue_id, priority, "position") > (l.queue_id, l.priority, 9223372036854775807)
       order by queue_id, priority, "position" limit 1) n
  )
  select queue_id, priority, "position" from level`,
};

/** Every level that has a waiting job, from zero: past all dead rows, so it is run seldom. */
export async function scanLevels(connection: HotConnection): Promise<Level[]> {
  return levelsOf(await connection.run(SCAN, []));
}

/** Rows of queue, priority, position. */
export function levelsOf(rows: Row[]): Level[] {
  return rows.map((row) => ({ queueId: Number(row[0]), priority: Number(row[1]), positionMin: BigInt(row[2]!) }));
}
