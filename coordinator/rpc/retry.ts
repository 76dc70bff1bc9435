import { RetryOutcome } from '../../proto/gen/skiplease/v1/job_service.ts';
import type { RetryJobsRequest, RetryJobsResponse } from '../../proto/gen/skiplease/v1/job_service.ts';
import type { Engine } from '../engine/engine.ts';
import { refuseInvalid } from '../errors.ts';
import type { FieldViolation } from '../errors.ts';
import type { Pool } from '../store/pool.ts';
import type { Access } from '../security/access.ts';
import { retryJobs } from '../store/retry_jobs.ts';
import type { RetryPlan } from '../store/retry_jobs.ts';
import { retryMatching } from '../store/retry_matching.ts';
import { checkJobIds } from './check_names.ts';
import { newJobId } from './ids.ts';
import { asOf, checkNarrowFilter, withQueue } from './job_filter.ts';
import { theirJobs } from './their_jobs.ts';

const JOB_IDS_MAX = 1_000;
const ATTEMPTS_MAX = 1_000;
const JOBS_PER_SECOND_MIN = 0.001;
const JOBS_PER_SECOND_MAX = 1_000_000;

const OUTCOMES = {
  retried: RetryOutcome.RETRIED, already_retried: RetryOutcome.ALREADY_RETRIED,
  not_failed: RetryOutcome.NOT_FAILED, not_found: RetryOutcome.NOT_FOUND,
} as const;

/** JobService.RetryJobs. `stopped`: the caller has gone. */
export async function retry(
  engine: Engine, pool: Pool, request: RetryJobsRequest, stopped: () => boolean, access: Access,
): Promise<RetryJobsResponse> {
  const violations: FieldViolation[] = [];
  const plan = checkPlan(request, engine.nowMs(), violations);
  return request.filter === undefined
    ? byIds(engine, pool, request, plan, violations, access)
    : byFilter(engine, pool, { ...request, filter: request.filter }, plan, violations, stopped);
}

async function byIds(
  engine: Engine, pool: Pool, { jobIds, jobsMax }: RetryJobsRequest, plan: RetryPlan, violations: FieldViolation[], access: Access,
): Promise<RetryJobsResponse> {
  const ids = checkJobIds(jobIds, JOB_IDS_MAX, 'job_ids');
  if (jobsMax !== 0) {
    violations.push({ field: 'jobs_max', description: 'goes with a filter only' });
  }
  refuseInvalid(violations);
  const theirs = await theirJobs(pool, ids, access, 'operate');
  const made = await retryJobs(pool, [...new Set(theirs)].map((originId) => ({ originId, newId: newJobId(plan.startMs) })), plan);
  const jobsRetried = made.filter(({ outcome }) => outcome === 'retried').length;
  if (jobsRetried > 0) {
    engine.scheduled(plan.startMs);
  }
  const byId = new Map(made.map((retried) => [retried.originId, retried]));
  return {
    results: ids.map((jobId) => {
      const { outcome, jobId: retriedAsJobId } = byId.get(jobId) ?? { outcome: 'not_found' as const };
      return { jobId, outcome: OUTCOMES[outcome], retriedAsJobId: retriedAsJobId ?? '' };
    }),
    jobsRetried,
  };
}

async function byFilter(
  engine: Engine, pool: Pool, { jobIds, jobsMax, filter }: RetryJobsRequest & { filter: NonNullable<RetryJobsRequest['filter']> },
  plan: RetryPlan, violations: FieldViolation[], stopped: () => boolean,
): Promise<RetryJobsResponse> {
  const checked = checkNarrowFilter(filter, 'filter.', violations);
  if (jobIds.length > 0) {
    violations.push({ field: 'filter', description: 'cannot go together with job_ids' });
  }
  if (jobsMax < 0) {
    violations.push({ field: 'jobs_max', description: `is ${jobsMax}: 1 and more are accepted, or 0 for all` });
  }
  refuseInvalid(violations);
  const found = await withQueue(pool, checked);
  const jobsRetried = found === undefined ? 0 : await retryMatching(pool, {
    filter: asOf(plan.startMs, found), jobsMax: jobsMax === 0 ? Infinity : jobsMax, plan, newId: () => newJobId(engine.nowMs()),
    stopped, committed: () => engine.scheduled(plan.startMs),
  });
  return { results: [], jobsRetried };
}

function checkPlan({ maxAttempts, jobsPerSecond }: RetryJobsRequest, nowMs: number, violations: FieldViolation[]): RetryPlan {
  if (maxAttempts < 0 || maxAttempts > ATTEMPTS_MAX) {
    violations.push({ field: 'max_attempts', description: `is ${maxAttempts}: 1 to ${ATTEMPTS_MAX} are accepted, or 0 for those of the job that failed` });
  }
  if (jobsPerSecond !== 0 && !(jobsPerSecond >= JOBS_PER_SECOND_MIN && jobsPerSecond <= JOBS_PER_SECOND_MAX)) {
    violations.push({ field: 'jobs_per_second', description: `is ${jobsPerSecond}: ${JOBS_PER_SECOND_MIN} to ${JOBS_PER_SECOND_MAX} are accepted, or 0 for at once` });
  }
  return {
    maxAttempts: maxAttempts === 0 ? null : maxAttempts,
    startMs: nowMs,
    spacingMs: jobsPerSecond === 0 ? 0 : 1_000 / jobsPerSecond,
    first: 0,
  };
}
