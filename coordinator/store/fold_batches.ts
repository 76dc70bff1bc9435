import type { HotConnection, Statement } from './hot_connection.ts';

/** Batches of one step, and changes of each. */
const BATCHES_MAX = 20;
const DELTAS_MAX = 1_000;

/** What one step came to. */
export interface Fold {
  /** Where the next step begins. */
  lastId: string;
  /** Some batch had more changes than a step takes: it is not finished before all of them were seen. */
  more: boolean;
  /** Batches were finished, and their follow-ups stand in scheduled, due now or later. */
  followUps: boolean;
}

const FOLD: Statement = {
  name: 'fold_batches',
  text: `select last_id, more, follow_ups from skiplease.fold_batches($1::uuid, ${BATCHES_MAX}, ${DELTAS_MAX})`,
};

/** Folds and finishes batches behind this id; undefined: no batch there has changes. */
export async function foldBatches(connection: HotConnection, afterId: string): Promise<Fold | undefined> {
  const [row] = await connection.run(FOLD, [afterId]);
  return row && { lastId: row[0]!, more: row[1] === 't', followUps: row[2] === 't' };
}
