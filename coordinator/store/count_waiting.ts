import type { HotConnection, Statement } from './hot_connection.ts';

/**
 * By the index, and no further than to the ceiling: 0.1 to 0.2 ms for each 1,000 that wait. Those that are scheduled stand in the
 * order of their time, over all queues, and are not counted.
 */
const COUNT: Statement = {
  name: 'count_waiting',
  text: `
  select (select count(*) from (select from skiplease.ready where queue_id = $1::int4 limit $2::int8) r)
       + (select count(*) from (select from skiplease.blocked where queue_id = $1::int4 limit $2::int8) b)`,
};

/** How many jobs of this queue are READY or BLOCKED; of each, counting stops at `max`. */
export async function countWaiting(connection: HotConnection, queueId: number, max: number): Promise<number> {
  const [row] = await connection.run(COUNT, [queueId, max]);
  return Number(row![0]);
}
