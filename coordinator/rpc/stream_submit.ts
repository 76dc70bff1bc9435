import type { handleBidiStreamingCall, ServerDuplexStream } from '@grpc/grpc-js';
import type { StreamSubmitJobsRequest, StreamSubmitJobsResponse } from '../../proto/gen/skiplease/v1/job_service.ts';
import type { Engine } from '../engine/engine.ts';
import { SUBMIT_JOBS_MAX } from '../limits.ts';
import type { StatusMapper } from './status.ts';
import { checkJobs } from './validate.ts';
import type { JobRules } from './validate.ts';
import { write } from './writing.ts';

/** Chunks of one stream that may wait for their commit. */
const CHUNKS_MAX = 16;

export interface StreamSubmitDependencies {
  engine: Engine;
  rules: () => JobRules;
  statuses: StatusMapper;
}

type Call = ServerDuplexStream<StreamSubmitJobsRequest, StreamSubmitJobsResponse>;

/**
 * StreamSubmitJobs: chunks are submitted as they arrive, so that those of many streams share a commit, and answered in the
 * order of their arrival. With too many on the way the stream is not read; when its answers are not read, neither.
 */
export function streamSubmit(
  dependencies: StreamSubmitDependencies,
): handleBidiStreamingCall<StreamSubmitJobsRequest, StreamSubmitJobsResponse> {
  return (call) => {
    const answers: Promise<StreamSubmitJobsResponse>[] = [];
    let ended = false;
    let answering = false;

    const answerAll = async () => {
      answering = true;
      while (answers.length > 0) {
        const answer = await answers[0]!;
        if (!(await write(call, answer))) {
          return;
        }
        void answers.shift();
        call.resume();
      }
      answering = false;
      if (ended) {
        call.end();
      }
    };
    const goOn = () => {
      if (!answering) {
        void answerAll().catch((error: unknown) => call.emit('error', dependencies.statuses.forCall(error, call.getPath())));
      }
    };
    call.on('data', (request: StreamSubmitJobsRequest) => {
      answers.push(submitChunk(dependencies, call, request));
      if (answers.length >= CHUNKS_MAX) {
        call.pause();
      }
      goOn();
    });
    call.on('end', () => {
      ended = true;
      goOn();
    });
    // A client that breaks off: what was accepted is committed all the same, and it may send it again with the same ids.
    call.on('error', () => {});
  };
}

/** Never rejects: a refused chunk is answered, and the stream goes on. */
async function submitChunk(
  { engine, rules, statuses }: StreamSubmitDependencies, call: Call, request: StreamSubmitJobsRequest,
): Promise<StreamSubmitJobsResponse> {
  const { chunk } = request;
  try {
    const jobs = checkJobs(request.jobs, rules(), { min: 1, max: SUBMIT_JOBS_MAX });
    const { existingIds } = await engine.submit(jobs);
    const chosenByClient = request.jobs.every(({ id }) => id !== '');
    return { chunk, jobIds: chosenByClient ? [] : jobs.map(({ id }) => id), existingJobIds: existingIds, error: undefined };
  } catch (error) {
    return { chunk, jobIds: [], existingJobIds: [], error: statuses.asMessage(error, call.getPath()) };
  }
}
