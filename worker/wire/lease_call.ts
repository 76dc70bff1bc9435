import type { Client, ClientDuplexStream } from '@grpc/grpc-js';
import { LeaseResponse, WorkerServiceService } from '../../proto/gen/skiplease/v1/worker_service.ts';
import type { LeaseRequest } from '../../proto/gen/skiplease/v1/worker_service.ts';
import { BufferReader } from './buffer_reader.ts';
import { readLease } from './lease_reader.ts';

/** Tag of `lease` in LeaseResponse. */
const leaseTag = 18;

export type LeaseCall = ClientDuplexStream<LeaseRequest, LeaseResponse>;

/** Opens the Lease stream, as the generated client does; only leases, nearly all that comes, are read in a way of our own. */
export function openLeaseCall(client: Client): LeaseCall {
  const { path, requestSerialize } = WorkerServiceService.lease;
  return client.makeBidiStreamRequest(path, requestSerialize, readResponse);
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
