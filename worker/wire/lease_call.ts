import type { Client, ClientDuplexStream } from '@grpc/grpc-js';
import { BufferReader } from '../../proto/buffer_reader.ts';
import { LeaseResponse, WorkerServiceService } from '../../proto/gen/skiplease/v1/worker_service.ts';
import type { LeaseRequest } from '../../proto/gen/skiplease/v1/worker_service.ts';
import { readLease } from './lease_reader.ts';
import { writeReport } from './report_writer.ts';

/** Tag of `lease` in LeaseResponse. */
const leaseTag = 18;

export type LeaseCall = ClientDuplexStream<LeaseRequest, LeaseResponse>;

/**
 * Opens the Lease stream, as the generated client does. Only leases and reports, nearly all that comes and goes, are
 * read and written in ways of our own.
 */
export function openLeaseCall(client: Client): LeaseCall {
  return client.makeBidiStreamRequest(WorkerServiceService.lease.path, writeRequest, readResponse);
}

/** The same as LeaseRequest.encode. */
export function writeRequest(request: LeaseRequest): Buffer {
  if (request.message?.$case === 'report') return writeReport(request.message.value);
  return WorkerServiceService.lease.requestSerialize(request);
}

/** The same as LeaseResponse.decode. */
export function readResponse(bytes: Buffer): LeaseResponse {
  const reader = new BufferReader(bytes);
  if (bytes[0] === leaseTag) {
    reader.pos = 1;
    const length = reader.uint32();
    if (reader.pos + length === bytes.length) return { message: { $case: 'lease', value: readLease(reader) } };
    reader.pos = 0;
  }
  return LeaseResponse.decode(reader);
}
