import { cancelJobs } from './cancel_jobs.ts';
import type { CancelCommit } from './cancel_jobs.ts';
import type { JobFilter } from './job_filter.ts';
import type { Pool } from './pool.ts';
import { unfinishedJobs } from './unfinished_jobs.ts';

/** Jobs that one transaction cancels. */
const COMMIT_MAX = 1_000;

export interface CancelMatching {
  filter: JobFilter;
  reason: string;
  /** Those that workers hold: cancelled like the others, or let go on. */
  running: 'cancel' | 'spare';
  /** Nobody waits for the answer any more. */
  stopped: () => boolean;
  /** After each commit. */
  committed: (commit: CancelCommit) => void;
}

/** Cancels all jobs that match and are not final. What is committed stays so, however this ends. Returns how many it cancelled. */
export async function cancelMatching(pool: Pool, { filter, reason, running, stopped, committed }: CancelMatching): Promise<number> {
  let count = 0;
  for await (const ids of unfinishedJobs(pool, filter, running === 'cancel')) {
    for (let first = 0; first < ids.length && !stopped(); first += COMMIT_MAX) {
      const results = await cancelJobs(pool, ids.slice(first, first + COMMIT_MAX), reason, committed, running);
      count += results.filter(({ outcome }) => outcome === 'cancelled').length;
    }
    if (stopped()) {
      break;
    }
  }
  return count;
}
