import type { Client, ClientDuplexStream } from '@grpc/grpc-js';
import { JobServiceService, StreamSubmitJobsRequest } from '../../proto/gen/skiplease/v1/job_service.ts';
import type { StreamSubmitJobsResponse } from '../../proto/gen/skiplease/v1/job_service.ts';
import { viewOf } from './view.ts';

/** Takes messages that are written already. */
export type SubmitCall = ClientDuplexStream<Buffer, StreamSubmitJobsResponse>;

/** Opens the StreamSubmitJobs stream, as the generated client does. */
export function openSubmitCall(client: Client): SubmitCall {
  const { path, responseDeserialize } = JobServiceService.streamSubmitJobs;
  return client.makeBidiStreamRequest(path, (message: Buffer) => message, responseDeserialize);
}

/** One chunk as the message that it goes out in. */
export function writeChunk(request: StreamSubmitJobsRequest): Buffer {
  return viewOf(StreamSubmitJobsRequest.encode(request).finish());
}
