import type { handleBidiStreamingCall, handleServerStreamingCall } from '@grpc/grpc-js';
import {
  JobServiceService, StreamSubmitJobsResponse, SubmitJobResponse, SubmitJobsResponse,
} from '../../proto/gen/skiplease/v1/job_service.ts';
import type { JobServiceServer, WatchJobRequest, WatchJobResponse } from '../../proto/gen/skiplease/v1/job_service.ts';
import type { Engine } from '../engine/engine.ts';
import type { SkipleaseError } from '../errors.ts';
import { SUBMIT_JOBS_MAX } from '../limits.ts';
import { getJobs } from '../store/get_jobs.ts';
import type { Pool } from '../store/pool.ts';
import type { Canceller } from './cancel.ts';
import { fullJob } from './job_messages.ts';
import { list } from './list_jobs.ts';
import { readSubmit } from './read_flood.ts';
import { retry } from './retry.ts';
import { viewResponses } from './serialize.ts';
import { submittedIds } from './submit_answer.ts';
import type { UnaryCalls } from './unary.ts';
import { checkJobId } from './check_names.ts';
import { checkJob, checkJobs } from './validate.ts';
import type { JobRules } from './job_rules.ts';

export interface JobServiceDependencies {
  engine: Engine;
  pool: Pool;
  rules: () => JobRules;
  calls: UnaryCalls;
  canceller: Canceller;
  /** rpc/stream_submit.ts */
  submitStream: handleBidiStreamingCall<Buffer, StreamSubmitJobsResponse>;
  /** rpc/watch_jobs.ts */
  watch: handleServerStreamingCall<WatchJobRequest, WatchJobResponse>;
  /** NOT_FOUND, in words that say why. */
  noSuchJob: (id: string) => SkipleaseError;
}

const fastDefinition = viewResponses(JobServiceService, {
  submitJob: SubmitJobResponse, submitJobs: SubmitJobsResponse, streamSubmitJobs: StreamSubmitJobsResponse,
});

/** As generated, but for the many: a submit of them is read with less ado, and the flood is handed its requests as bytes (rpc/stream_submit.ts). */
export const jobServiceDefinition = {
  ...fastDefinition,
  submitJobs: { ...fastDefinition.submitJobs, requestDeserialize: readSubmit },
  streamSubmitJobs: { ...fastDefinition.streamSubmitJobs, requestDeserialize: (bytes: Buffer) => bytes },
};

/** skiplease.v1.JobService: submits go to the engine, the rest is read and changed in the database. */
export function jobService(dependencies: JobServiceDependencies): JobServiceServer {
  const { engine, pool, rules, calls, canceller, submitStream, watch, noSuchJob } = dependencies;
  return {
    submitJob: calls.handler(async ({ job }, _stopped, _access, client) => {
      const checked = checkJob(job, rules(), 'job');
      const { jobIds, existingJobIds } = submittedIds([checked], await engine.submit([checked], client));
      return { jobId: jobIds[0]!, existing: existingJobIds.length > 0 };
    }),

    submitJobs: calls.handler(async ({ jobs }, _stopped, _access, client) => {
      const checked = checkJobs(jobs, rules(), { min: 1, max: SUBMIT_JOBS_MAX });
      return submittedIds(checked, await engine.submit(checked, client));
    }),

    streamSubmitJobs: submitStream,

    getJob: calls.ordinary(async ({ jobId }, _stopped, access) => {
      const id = checkJobId(jobId);
      const [row] = await getJobs(pool, [id]);
      if (row === undefined || !access.may('read', row.queue)) {
        throw noSuchJob(id);
      }
      return { job: fullJob(row) };
    }),

    listJobs: calls.ordinary((request, _stopped, access) => list(pool, request, access)),

    watchJob: watch,

    cancelJobs: calls.ordinary((request, stopped, access) => canceller.cancel(request, stopped, access)),

    retryJobs: calls.ordinary((request, stopped, access) => retry(engine, pool, request, stopped, access)),
  };
}
