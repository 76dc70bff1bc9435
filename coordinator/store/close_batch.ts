import { SkipleaseError } from '../errors.ts';
import { nothing, sql } from './pool.ts';
import type { Pool } from './pool.ts';
import { isLocked } from './sql_errors.ts';

const RETRY_AFTER_MS = 500;

/**
 * Closes a batch, if it exists, in two steps. The first refuses whoever comes from now on and waits for nobody (so that no
 * stream of submits can hold it off); the second waits for those who were there before. ABORTED when one of them, such as an
 * application's transaction, takes its time: the batch is closed, and will count its jobs; calling again waits again.
 */
export async function closeBatch(pool: Pool, id: string): Promise<void> {
  // The delta brings the batch before fold_batches(), which finishes it if it is empty.
  await pool.query(sql.type(nothing)`
    with closed as (
      update skiplease.batch set closed_at = skiplease.now() where id = ${id}::uuid and closed_at is null returning id
    )
    insert into skiplease.batch_delta (batch_id, entered, succeeded, failed, cancelled) select id, 0, 0, 0, 0 from closed`);
  try {
    await pool.any(sql.type(nothing)`select from skiplease.batch where id = ${id}::uuid and finished_at is null for update`);
  } catch (error) {
    if (!isLocked(error)) {
      throw error;
    }
    throw new SkipleaseError('ABORTED', 'SUBMITS_UNDER_WAY',
      `Batch ${id} takes no more jobs, but a submit to it that began earlier is not committed yet. Call again to wait for it.`,
      { retryAfterMs: RETRY_AFTER_MS, metadata: { batch_id: id }, cause: error });
  }
}
