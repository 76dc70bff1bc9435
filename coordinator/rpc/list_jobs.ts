import { JobState } from '../../proto/gen/skiplease/v1/job.ts';
import type { ListJobsRequest, ListJobsResponse } from '../../proto/gen/skiplease/v1/job_service.ts';
import { refuseInvalid } from '../errors.ts';
import type { FieldViolation } from '../errors.ts';
import { listJobs } from '../store/list_jobs.ts';
import type { Pool } from '../store/pool.ts';
import type { Access } from '../security/access.ts';
import { checkFilter, withQueue } from './job_filter.ts';
import { listedJob, pageWithinBounds } from './job_messages.ts';
import { checkPageSize, CURSOR, makePageToken, readPageToken } from './page_token.ts';

const PAGE_SIZE = 50;
const PAGE_SIZE_MAX = 1_000;

/** One page of JobService.ListJobs; shorter where jobs of it are of queues that the caller may not read. */
export async function list(pool: Pool, request: ListJobsRequest, access: Access): Promise<ListJobsResponse> {
  const violations: FieldViolation[] = [];
  const checked = checkFilter(request, '', violations);
  if (request.state !== JobState.UNSPECIFIED && !Object.values(JobState).some((state) => state === request.state && state > 0)) {
    violations.push({ field: 'state', description: `${request.state} is not a JobState` });
  }
  if (checked.errorCode !== undefined && request.state !== JobState.FAILED) {
    violations.push({ field: 'error_code', description: 'needs state to be JOB_STATE_FAILED' });
  }
  refuseInvalid(violations);
  const pageSize = checkPageSize(request.pageSize, PAGE_SIZE, PAGE_SIZE_MAX);
  const { state, ...filters } = { ...checked, state: request.state === JobState.UNSPECIFIED ? undefined : request.state };
  const tokenFilters = [filters.queue, filters.type, filters.batchId, state, filters.errorCode, filters.idFrom, filters.idBefore];
  const cursor = readPageToken(request.pageToken, tokenFilters, CURSOR.uuid);
  const filter = await withQueue(pool, filters);
  if (filter === undefined) {
    return { jobs: [], nextPageToken: '' };
  }
  const page = await listJobs(pool, { ...filter, state, idBefore: cursor ?? filter.idBefore }, pageSize);
  const rows = pageWithinBounds(page.jobs);
  const next = rows.length < page.jobs.length ? rows.at(-1)!.id : page.nextIdBefore;
  return { jobs: rows.filter(({ queue }) => access.may('read', queue)).map(listedJob), nextPageToken: next === undefined ? '' : makePageToken(next, tokenFilters) };
}
