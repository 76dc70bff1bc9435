import type { WatchJobRequest, WatchJobResponse } from '../../proto/gen/skiplease/v1/job_service.ts';
import type { SkipleaseError } from '../errors.ts';
import { JobState } from '../types.ts';
import { getJobs } from '../store/get_jobs.ts';
import { lookAtJobs } from '../store/look_at_jobs.ts';
import type { JobLook } from '../store/look_at_jobs.ts';
import type { Pool } from '../store/pool.ts';
import { checkJobId } from './check_names.ts';
import { fullJob } from './job_messages.ts';
import type { WatchKind } from './watcher.ts';

const LOOK_INTERVAL_MS = 200;
/** Jobs read at once, payloads included, before they are sent on. */
const READ_JOBS_MAX = 20;
const FINAL_STATES = new Set<number>([JobState.SUCCEEDED, JobState.FAILED, JobState.CANCELLED]);
/** What a job weighs beside its payload and its result. */
const JOB_BYTES = 1_024;

/** JobService.WatchJob: a look tells what changed, without payloads; what changed is read whole. */
export function jobWatches(pool: Pool, missing: (id: string) => SkipleaseError): WatchKind<WatchJobRequest, JobLook, WatchJobResponse> {
  return {
    name: 'jobs',
    idsOf: ({ jobId }) => [checkJobId(jobId)],
    intervalMs: LOOK_INTERVAL_MS,
    look: (ids) => lookAtJobs(pool, ids),
    readMax: READ_JOBS_MAX,
    read: async (looks) => (await getJobs(pool, looks.map(({ id }) => id))).map((row) => ({
      id: row.id,
      mark: row.mark,
      response: { job: fullJob(row) },
      final: FINAL_STATES.has(row.state!),
      bytes: JOB_BYTES + row.payload.length + (row.result?.length ?? 0),
    })),
    missing,
  };
}
