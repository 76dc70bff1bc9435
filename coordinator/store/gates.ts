import { int8Array } from './binary.ts';
import type { HotConnection, Row, Statement } from './hot_connection.ts';
import { levelsOf, type Level } from './levels.ts';

/** Gates that one statement looks at. */
const GATES_MAX = 500;

export interface GateSweep {
  /** Where jobs became ready. */
  levels: Level[];
  /** Until the next gate is due: milliseconds, 0 for one that is; null: there is none. */
  nextDueMs: number | null;
}

const SWEEP: Statement = {
  name: 'sweep_gates',
  text: `select queue_id, priority, min("position"), min(next_due_ms) from skiplease.sweep_gates(${GATES_MAX}) group by queue_id, priority`,
};

/** Lets in who may come in by now, at the gates that are due. */
export async function sweepGates(connection: HotConnection): Promise<GateSweep> {
  const rows = await connection.run(SWEEP, []);
  const next = rows.find((row) => row[0] === null)![3] ?? null;
  return { levels: levelsOf(rows.filter((row) => row[0] !== null)), nextDueMs: next === null ? null : Number(next) };
}

/** How long a change of limits is left to whoever made it, before others take over: no claim from before it runs then. */
const LEFT_BEHIND = "interval '20 seconds'";

const CHANGED: Statement = {
  name: 'changed_limits',
  text: `select id from skiplease.queue where limits_changed_at < skiplease.now() - ${LEFT_BEHIND}`,
};

/** Queues whose limits were changed by a coordinator that did not see it through. */
export async function changedLimits(connection: HotConnection): Promise<number[]> {
  return (await connection.run(CHANGED, [])).map((row) => Number(row[0]));
}

const SEEN: Statement = { name: 'limits_changed_at', text: 'select limits_changed_at from skiplease.queue where id = $1::int4' };

const FLAG_LEASES: Statement = {
  name: 'flag_leases',
  text: `update skiplease.lease set limited = true where id = any(array(
      select id from skiplease.lease where queue_id = $1::int4 and not limited order by id for no key update))`,
};

const PAGE: Statement = {
  name: 'gates_of_queue',
  text: `select id, kind, key from skiplease.gate where queue_id = $1::int4 and (kind, key) > ($2::int2, $3::text) order by kind, key limit ${GATES_MAX}`,
};

const REVIEW: Statement = {
  name: 'review_gates',
  text: 'select queue_id, priority, "position" from skiplease.review_gates($1::int4, $2::int8[])',
};

const REVIEWED: Statement = {
  name: 'limits_reviewed',
  text: 'update skiplease.queue set limits_changed_at = null where id = $1::int4 and limits_changed_at = $2::timestamptz',
};

/**
 * After a change of a queue's limits, once no claim from before it runs: its leases count, and who is inside its gates fits.
 * Step by step, each a short transaction; whoever comes later may do it again. `placed` is told where jobs became ready.
 */
export async function reviewLimits(connection: HotConnection, queueId: number, placed: (levels: Level[]) => void): Promise<void> {
  const [seen] = await connection.run(SEEN, [queueId]);
  await connection.run(FLAG_LEASES, [queueId]);
  for (let page = await connection.run(PAGE, [queueId, 1, '']); page.length > 0;) {
    const gateIds = int8Array(page.map((row) => BigInt(row[0]!)));
    let rows: Row[];
    do {
      rows = await connection.run(REVIEW, [queueId, gateIds]);
      placed(levelsOf(rows.filter((row) => row[2] !== null)));
    } while (rows.some((row) => row[2] === null));
    page = await connection.run(PAGE, [queueId, Number(page.at(-1)![1]), page.at(-1)![2]]);
  }
  await connection.run(REVIEWED, [queueId, seen![0]]);
}
