import { failedJobs } from './failed_jobs.ts';
import type { JobFilter } from './job_filter.ts';
import type { Pool } from './pool.ts';
import { retryJobs } from './retry_jobs.ts';
import type { RetryPlan } from './retry_jobs.ts';

/** Jobs that one transaction re-drives. */
const COMMIT_MAX = 1_000;

export interface RetryMatching {
  filter: JobFilter;
  jobsMax: number;
  plan: RetryPlan;
  newId: () => string;
  /** Nobody waits for the answer any more. */
  stopped: () => boolean;
  /** After each commit that made jobs. */
  committed: () => void;
}

/** Re-drives the FAILED jobs that match, oldest first. What is committed stays so, however this ends. Returns how many it made. */
export async function retryMatching(pool: Pool, { filter, jobsMax, plan, newId, stopped, committed }: RetryMatching): Promise<number> {
  let count = 0;
  for await (const originIds of failedJobs(pool, filter, () => Math.min(COMMIT_MAX, jobsMax - count))) {
    if (originIds.length > 0 && !stopped()) {
      const results = await retryJobs(pool, originIds.map((originId) => ({ originId, newId: newId() })), { ...plan, first: plan.first + count });
      const made = results.filter(({ outcome }) => outcome === 'retried').length;
      count += made;
      if (made > 0) {
        committed();
      }
    }
    if (count >= jobsMax || stopped()) {
      break;
    }
  }
  return count;
}
