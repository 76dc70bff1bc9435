import { z } from 'zod';
import { cancelJobs, type CancelCommit } from './cancel_jobs.ts';
import { sql } from './pool.ts';
import type { Pool } from './pool.ts';

/** Jobs that one round looks at. */
const ROUND_MAX = 500;
const REASON = 'No worker had started it by the time it asked for.';

const dueRow = z.object({ id: z.string() });

/**
 * Cancels jobs that no worker has started by the time they asked for. Two coordinators that do it at once are none the worse:
 * a job ends once. `committed` is told after each commit.
 */
export async function expireStarts(pool: Pool, committed: (commit: CancelCommit, reason: string) => void): Promise<{ again: boolean; nextDueMs: number | null }> {
  const due = (await pool.any(sql.type(dueRow)`
    select job_id as id from skiplease.deadline where start_by <= skiplease.now() order by start_by limit ${ROUND_MAX}::int`)).map(({ id }) => id);
  if (due.length > 0) {
    await cancelJobs(pool, due, REASON, (commit) => committed(commit, REASON), 'spare started', 'EXPIRED');
  }
  const { nextDueMs } = await pool.one(sql.type(z.object({ nextDueMs: z.number().nullable() }))`
    with gone as (delete from skiplease.deadline where job_id = any(${sql.array(due, 'uuid')}))
    select (select date_part('epoch', start_by - skiplease.now()) * 1000 from skiplease.deadline
             where job_id <> all(${sql.array(due, 'uuid')}) order by start_by limit 1) as "nextDueMs"`);
  return { again: due.length === ROUND_MAX, nextDueMs };
}
