import {
  CancelOutcome, JobServiceService, RetryOutcome, StreamSubmitJobsResponse, SubmitJobResponse, SubmitJobsResponse,
} from '../../proto/gen/skiplease/v1/job_service.ts';
import type { JobServiceServer, ListJobsRequest, ListJobsResponse } from '../../proto/gen/skiplease/v1/job_service.ts';
import { JobState } from '../../proto/gen/skiplease/v1/job.ts';
import type { Engine } from '../engine/engine.ts';
import { invalidArgument } from '../errors.ts';
import type { FieldViolation } from '../errors.ts';
import { SUBMIT_JOBS_MAX } from '../limits.ts';
import { cancelJobs } from '../store/cancel_jobs.ts';
import { getJobs } from '../store/get_jobs.ts';
import { listJobs } from '../store/list_jobs.ts';
import type { Pool } from '../store/pool.ts';
import { getQueue } from '../store/queues.ts';
import { retryJobs } from '../store/retry_jobs.ts';
import { newJobId, UUID_MAX, UUID_MIN, uuidFloor } from './ids.ts';
import { fullJob, listedJob, pageWithinBounds } from './job_messages.ts';
import { checkPageSize, makePageToken, readPageToken } from './page_token.ts';
import { viewResponses } from './serialize.ts';
import type { StatusMapper } from './status.ts';
import { streamSubmit } from './stream_submit.ts';
import { timestampMs } from './time.ts';
import type { UnaryCalls } from './unary.ts';
import { checkJobId, checkJobIds, checkQueueName, noSuchJob } from './check_names.ts';
import { checkJob, checkJobs } from './validate.ts';
import type { JobWatcher } from './watch.ts';

const PAGE_SIZE = 50;
const PAGE_SIZE_MAX = 1_000;
const JOB_IDS_MAX = 1_000;
const REASON_CHARACTERS_MAX = 200;
const UUID = /^[0-9a-f-]{36}$/;

export interface JobServiceDependencies {
  engine: Engine;
  pool: Pool;
  payloadBytesMax: number;
  statuses: StatusMapper;
  calls: UnaryCalls;
  watcher: JobWatcher;
  /** Jobs were cancelled: for the metrics. */
  cancelled: (queue: string, count: number) => void;
}

const fastDefinition = viewResponses(JobServiceService, {
  submitJob: SubmitJobResponse, submitJobs: SubmitJobsResponse, streamSubmitJobs: StreamSubmitJobsResponse,
});

/** As generated, but for the flood, which is handed its requests as bytes: rpc/stream_submit.ts. */
export const jobServiceDefinition = {
  ...fastDefinition,
  streamSubmitJobs: { ...fastDefinition.streamSubmitJobs, requestDeserialize: (bytes: Buffer) => bytes },
};

/** skiplease.v1.JobService: submits go to the engine, the rest is read and changed in the database. */
export function jobService(dependencies: JobServiceDependencies): JobServiceServer {
  const { engine, pool, payloadBytesMax, statuses, calls, watcher, cancelled } = dependencies;
  const rules = () => ({ nowMs: engine.nowMs(), payloadBytesMax });
  return {
    submitJob: calls.handler(async ({ job }) => {
      const checked = checkJob(job, rules(), 'job');
      const { existingIds } = await engine.submit([checked]);
      return { jobId: checked.id, existing: existingIds.length > 0 };
    }),

    submitJobs: calls.handler(async ({ jobs }) => {
      const checked = checkJobs(jobs, rules(), { min: 1, max: SUBMIT_JOBS_MAX });
      const { existingIds } = await engine.submit(checked);
      return { jobIds: checked.map(({ id }) => id), existingJobIds: existingIds };
    }),

    streamSubmitJobs: streamSubmit({ engine, rules, statuses }),

    getJob: calls.ordinary(async ({ jobId }) => {
      const id = checkJobId(jobId);
      const [row] = await getJobs(pool, [id]);
      if (row === undefined) {
        throw noSuchJob(id);
      }
      return { job: fullJob(row) };
    }),

    listJobs: calls.ordinary((request) => list(pool, request)),

    watchJob: (call) => watcher.watch(call),

    cancelJobs: calls.ordinary(async ({ jobIds, reason }) => {
      const ids = checkJobIds(jobIds, JOB_IDS_MAX, 'job_ids');
      const results = await cancelJobs(pool, ids, checkReason(reason), ({ leased, queues, wake }) => {
        engine.jobsCancelled(leased.map((job) => ({ ...job, reason })));
        engine.setGoing(wake);
        queues.forEach((count, queue) => cancelled(queue, count));
      });
      return {
        results: results.map(({ id, outcome }) => ({ jobId: id, outcome: CANCEL_OUTCOMES[outcome] })),
        jobsCancelled: results.filter(({ outcome }) => outcome === 'cancelled').length,
      };
    }),

    retryJobs: calls.ordinary(async ({ jobIds }) => {
      const ids = checkJobIds(jobIds, JOB_IDS_MAX, 'job_ids');
      const nowMs = engine.nowMs();
      const made = await retryJobs(pool, [...new Set(ids)].map((originId) => ({ originId, newId: newJobId(nowMs) })));
      const byId = new Map(made.map((retried) => [retried.originId, retried]));
      return {
        results: ids.map((jobId) => {
          const { outcome, jobId: retriedAsJobId } = byId.get(jobId)!;
          return { jobId, outcome: RETRY_OUTCOMES[outcome], retriedAsJobId: retriedAsJobId ?? '' };
        }),
        jobsRetried: made.filter(({ outcome }) => outcome === 'retried').length,
      };
    }),
  };
}

const CANCEL_OUTCOMES = {
  cancelled: CancelOutcome.CANCELLED, already_final: CancelOutcome.ALREADY_FINAL, not_found: CancelOutcome.NOT_FOUND,
} as const;

const RETRY_OUTCOMES = {
  retried: RetryOutcome.RETRIED, already_retried: RetryOutcome.ALREADY_RETRIED,
  not_failed: RetryOutcome.NOT_FAILED, not_found: RetryOutcome.NOT_FOUND,
} as const;

async function list(pool: Pool, request: ListJobsRequest): Promise<ListJobsResponse> {
  const violations: FieldViolation[] = [];
  const fromMs = request.createdFrom && timestampMs(request.createdFrom, 'created_from', violations);
  const beforeMs = request.createdBefore && timestampMs(request.createdBefore, 'created_before', violations);
  if (request.state !== JobState.UNSPECIFIED && !Object.values(JobState).some((state) => state === request.state && state > 0)) {
    violations.push({ field: 'state', description: `${request.state} is not a JobState` });
  }
  if (violations.length > 0) {
    throw invalidArgument(violations);
  }
  const pageSize = checkPageSize(request.pageSize, PAGE_SIZE, PAGE_SIZE_MAX);
  const filters = [request.queue, request.type, request.state, fromMs, beforeMs];
  const cursor = readPageToken(request.pageToken, filters, UUID);
  const queue = request.queue === '' ? undefined : await getQueue(pool, checkQueueName(request.queue));
  if (request.queue !== '' && queue === undefined) {
    return { jobs: [], nextPageToken: '' };
  }
  const page = await listJobs(pool, {
    queueId: queue?.id,
    type: request.type === '' ? undefined : checkQueueName(request.type, 'type'),
    state: request.state === JobState.UNSPECIFIED ? undefined : request.state,
    idFrom: fromMs === undefined ? UUID_MIN : uuidFloor(fromMs),
    idBefore: cursor ?? (beforeMs === undefined ? UUID_MAX : uuidFloor(beforeMs)),
  }, pageSize);
  const rows = pageWithinBounds(page.jobs);
  const next = rows.length < page.jobs.length ? rows.at(-1)!.id : page.nextIdBefore;
  return { jobs: rows.map(listedJob), nextPageToken: next === undefined ? '' : makePageToken(next, filters) };
}

function checkReason(reason: string): string {
  if (reason.length > REASON_CHARACTERS_MAX || reason.includes('\0')) {
    throw invalidArgument([{
      field: 'reason',
      description: `is ${reason.length} characters long: at most ${REASON_CHARACTERS_MAX}, none of them null, are accepted`,
    }]);
  }
  return reason;
}
