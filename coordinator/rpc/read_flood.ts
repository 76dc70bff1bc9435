import { BufferReader } from '../../proto/buffer_reader.ts';
import { JobSpec, Payload } from '../../proto/gen/skiplease/v1/job.ts';
import type { StreamSubmitJobsRequest, SubmitJobsRequest } from '../../proto/gen/skiplease/v1/job_service.ts';
import { SUBMIT_JOBS_MAX } from '../limits.ts';

const NO_HEADERS: Record<string, string> = Object.freeze({});
const NO_IDS: string[] = [];
/** Jobs beyond are not read: that they are too many is known, and an empty one, of two bytes, would take three hundred here. */
const JOBS_READ_MAX = SUBMIT_JOBS_MAX + 1;
const END_GROUP = 4;

/**
 * StreamSubmitJobsRequest.decode, made for plain jobs: names are shared between them, and so is the object of those
 * without headers. Whatever else a job carries is read by the generated code. A test holds the two against each other.
 */
export function readFlood(bytes: Buffer): StreamSubmitJobsRequest {
  const reader = new BufferReader(bytes);
  const request: StreamSubmitJobsRequest = { chunk: 0, jobs: [] };
  for (let goesOn = true; goesOn && reader.pos < reader.len;) {
    const tag = reader.uint32();
    if (tag === 8) {
      request.chunk = reader.uint32();
    } else {
      goesOn = readJobOrSkip(reader, tag, 18, request.jobs);
    }
  }
  return request;
}

/** SubmitJobsRequest.decode, likewise. */
export function readSubmit(bytes: Buffer): SubmitJobsRequest {
  const reader = new BufferReader(bytes);
  const request: SubmitJobsRequest = { jobs: [] };
  while (reader.pos < reader.len && readJobOrSkip(reader, reader.uint32(), 10, request.jobs));
  return request;
}

/** False: to the generated code, too, the message ends here. */
function readJobOrSkip(reader: BufferReader, tag: number, jobTag: number, jobs: JobSpec[]): boolean {
  if (tag === jobTag && jobs.length < JOBS_READ_MAX) {
    jobs.push(readJob(reader, reader.uint32()));
    return true;
  }
  const ends = tag === 0 || (tag & 7) === END_GROUP;
  if (!ends) {
    reader.skip(tag & 7);
  }
  return !ends;
}

function readJob(reader: BufferReader, length: number): JobSpec {
  const start = reader.pos;
  const end = start + length;
  const job: JobSpec = {
    id: '', queue: '', type: '', payload: undefined, priority: 0, start: undefined, maxAttempts: 0, timeout: undefined, headers: NO_HEADERS,
    deadline: undefined, retryPolicy: undefined, unique: undefined, serialKey: '', limitKey: '', batchId: '', afterJobIds: NO_IDS, afterPolicy: 0,
  };
  while (reader.pos < end) {
    switch (reader.uint32()) {
      case 10:
        job.id = reader.string();
        break;
      case 18:
        job.queue = reader.string();
        break;
      case 26:
        job.type = reader.string();
        break;
      case 34:
        job.payload = readPayload(reader, reader.uint32());
        break;
      case 40:
        job.priority = reader.int32();
        break;
      default:
        reader.pos = start;
        return JobSpec.decode(reader, length);
    }
  }
  return job;
}

function readPayload(reader: BufferReader, length: number): Payload {
  const start = reader.pos;
  const end = start + length;
  const payload: Payload = { content: undefined, contentType: '' };
  while (reader.pos < end) {
    switch (reader.uint32()) {
      case 10:
        payload.content = { $case: 'data', value: reader.bytes() };
        break;
      case 34:
        payload.contentType = reader.string();
        break;
      default:
        reader.pos = start;
        return Payload.decode(reader, length);
    }
  }
  return payload;
}
