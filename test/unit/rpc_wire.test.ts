/** The fast readers and the writer of responses are held against the generated code, broken messages included. */
import test from 'ava';
import { BinaryWriter } from '@bufbuild/protobuf/wire';
import fc from 'fast-check';
import { JobSpec } from '../../proto/gen/skiplease/v1/job.ts';
import { StreamSubmitJobsRequest, SubmitJobsRequest } from '../../proto/gen/skiplease/v1/job_service.ts';
import { LeaseRequest, Receipt } from '../../proto/gen/skiplease/v1/worker_service.ts';
import type { Report } from '../../proto/gen/skiplease/v1/worker_service.ts';
import { readFlood, readSubmit } from '../../coordinator/rpc/read_flood.ts';
import { readLeaseRequest } from '../../coordinator/rpc/read_report.ts';
import { writeResponse } from '../../coordinator/rpc/response_writer.ts';

/** Names that differ only beyond ASCII, or only in length, are told apart. */
const text = fc.oneof(fc.constantFrom('', 'a', 'b', 'mail', 'male', 'Ã', 'é', 'Ã©', '\ufeffx', 'x'.repeat(33), 'é'.repeat(20)), fc.uuid(), fc.string({ maxLength: 40 }));
const bytes = fc.uint8Array({ maxLength: 40 }).map((array) => Buffer.from(array));
const payload = fc.record({
  content: fc.oneof(
    fc.constant(undefined),
    fc.record({ $case: fc.constant('data' as const), value: bytes }),
    fc.record({ $case: fc.constant('jsonText' as const), value: text }),
  ),
  contentType: text,
});
const duration = fc.record({ seconds: fc.nat(), nanos: fc.nat() });
const job = fc.record({
  id: text, queue: text, type: text,
  payload: fc.option(payload, { nil: undefined }),
  priority: fc.integer({ min: -3, max: 12 }),
  start: fc.option(fc.record({ $case: fc.constant('delay' as const), value: duration }), { nil: undefined }),
  maxAttempts: fc.constantFrom(0, 0, 7),
  timeout: fc.option(duration, { nil: undefined }),
  headers: fc.constantFrom<Record<string, string>>({}, {}, { trace: '4711', é: 'ü' }),
  serialKey: fc.constantFrom('', '', 'key'),
  batchId: fc.constantFrom('', '', 'batch'),
  afterJobIds: fc.constantFrom<string[]>([], [], ['a', 'b']),
}).map((fields) => ({ ...JobSpec.create(), ...fields }));
const flood = fc.record({ chunk: fc.nat(), jobs: fc.array(job, { maxLength: 5 }) });
const outcome = fc.record({
  jobId: text,
  outcome: fc.oneof(
    fc.constant(undefined),
    fc.record({ $case: fc.constant('succeeded' as const), value: fc.record({ result: fc.option(payload, { nil: undefined }) }) }),
    fc.record({ $case: fc.constant('released' as const), value: fc.record({ delay: fc.option(duration, { nil: undefined }) }) }),
  ),
  followUps: fc.oneof(fc.constant([]), fc.array(job, { maxLength: 2 })),
});
const report = fc.record({ $case: fc.constant('report' as const), value: fc.record({ token: text, outcomes: fc.array(outcome, { maxLength: 5 }) }) });
const heartbeat = fc.record({ $case: fc.constant('heartbeat' as const), value: fc.record({ sequence: fc.nat(), received: fc.nat() }) });
const lease = fc.record({ message: fc.oneof(report, heartbeat, fc.constant(undefined)) }) as fc.Arbitrary<LeaseRequest>;

/** A reader's answer, or that it threw: the words of errors may differ. */
function answer<Message>(read: (message: Buffer) => Message, message: Buffer): { read: Message } | 'refused' {
  try {
    return { read: read(message) };
  } catch {
    return 'refused';
  }
}

/** The message as it is, cut short, with a byte changed, and with fields that this version does not know. */
function* variants(whole: Buffer, place: number, value: number): Generator<Buffer> {
  yield whole;
  yield whole.subarray(0, place % (whole.length + 1));
  const changed = Buffer.from(whole);
  if (changed.length > 0) {
    changed[place % changed.length] = value;
  }
  yield changed;
  yield Buffer.concat([whole, Buffer.from([0xf8, 0x07, 0x01])]);
}

test('a flood', (t) => {
  fc.assert(fc.property(flood, fc.nat(), fc.nat(255), (message, place, value) => {
    for (const variant of variants(Buffer.from(StreamSubmitJobsRequest.encode(message).finish()), place, value)) {
      t.deepEqual(answer(readFlood, variant), answer((given) => StreamSubmitJobsRequest.decode(given), variant));
    }
  }), { numRuns: 1_000 });
});

test('a submit of many', (t) => {
  fc.assert(fc.property(fc.array(job, { maxLength: 5 }), fc.nat(), fc.nat(255), (jobs, place, value) => {
    for (const variant of variants(Buffer.from(SubmitJobsRequest.encode({ jobs }).finish()), place, value)) {
      t.deepEqual(answer(readSubmit, variant), answer((given) => SubmitJobsRequest.decode(given), variant));
    }
  }), { numRuns: 1_000 });
});

test('of two million empty jobs, or outcomes, no more are read than it takes to refuse them', (t) => {
  const empty = (tag: number) => Buffer.alloc(4_000_000).fill(Buffer.from([tag, 0]));
  t.is(readSubmit(empty(10)).jobs.length, 10_001);
  t.is(readFlood(empty(18)).jobs.length, 10_001);
  const report = empty(18);
  const { message } = readLeaseRequest(Buffer.concat([Buffer.from([26]), new BinaryWriter().uint32(report.length).finish(), report]));
  t.is((message as { value: Report }).value.outcomes.length, 10_001);
});

test('what a worker says', (t) => {
  fc.assert(fc.property(lease, fc.nat(), fc.nat(255), (message, place, value) => {
    for (const variant of variants(Buffer.from(LeaseRequest.encode(message).finish()), place, value)) {
      t.deepEqual(answer(readLeaseRequest, variant), answer((given) => LeaseRequest.decode(given), variant));
    }
  }), { numRuns: 1_000 });
});

test('messages side by side share nothing that could be changed', (t) => {
  const plain = JobSpec.decode(new Uint8Array(0));
  const { jobs } = readFlood(Buffer.from(StreamSubmitJobsRequest.encode({ chunk: 1, jobs: [plain, plain] }).finish()));
  t.throws(() => Object.assign(jobs[0]!.headers, { trace: '1' }), { instanceOf: TypeError });
  t.deepEqual(jobs[1]!.headers, {});
});

const receipt = fc.record({
  token: text,
  jobs: fc.array(fc.record({ jobId: text, status: fc.nat(5) as fc.Arbitrary<0 | 1 | 2 | 3 | 4 | 5>, message: fc.oneof(text, fc.constant('é'.repeat(36)), fc.constant(`${'x'.repeat(35)}é`)) })),
});

test('a receipt is written as the generated code writes it, also after a message that could not be', (t) => {
  fc.assert(fc.property(receipt, (message) => {
    t.deepEqual(writeResponse(message, Receipt), Receipt.encode(message).finish());
    t.throws(() => writeResponse({ token: 'x', jobs: [{ jobId: 'y', status: 1.5 as 1, message: '' }] }, Receipt));
  }), { numRuns: 500 });
});

test('what was written stays as it is while the next is written', (t) => {
  const first = writeResponse({ token: 'a'.repeat(100), jobs: [] }, Receipt);
  const copy = Uint8Array.from(first);
  writeResponse({ token: 'b'.repeat(100), jobs: [] }, Receipt);
  writeResponse({ token: 'c'.repeat(2_000_000), jobs: [] }, Receipt);
  t.deepEqual(first, copy);
});
