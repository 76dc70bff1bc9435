/** What this library reads and writes in its own way, held against the generated code. */
import test from 'ava';
import fc from 'fast-check';
import { LeaseRequest, LeaseResponse } from '../../proto/gen/skiplease/v1/worker_service.ts';
import { JobSpec } from '../../proto/gen/skiplease/v1/job.ts';
import { readResponse, writeRequest } from '../../worker/wire/lease_call.ts';

/** Lengths on both sides of one byte's worth of a length prefix, texts that repeat, and others beyond ASCII. */
const text = fc.oneof(
  fc.constantFrom('', 'payment.capture', 'application/json', 'Ã', 'é', '日本', 'a'.repeat(127), 'b'.repeat(128)),
  fc.string({ unit: 'binary', maxLength: 40 }),
  fc.uuid(),
);
const bytes = fc.uint8Array({ maxLength: 300 }).map((array) => Buffer.from(array));
const whole = fc.integer({ min: 0, max: 2 ** 31 - 1 });
const duration = fc.record({ seconds: whole, nanos: fc.integer({ min: 0, max: 999_999_999 }) });

const leasedJob = fc.record({
  id: text,
  type: text,
  payload: bytes,
  contentType: text,
  attempt: fc.integer({ min: -1, max: 1_000 }),
  maxAttempts: whole,
  timeout: fc.option(duration, { nil: undefined }),
  headers: fc.dictionary(text, text, { maxKeys: 4 }),
  checkpoint: bytes,
  priority: fc.integer({ min: 0, max: 9 }),
});
const lease = fc.record({ token: text, number: whole, queue: text, jobs: fc.array(leasedJob, { maxLength: 8 }) });

test('a lease is read as the generated code reads it', (t) => {
  fc.assert(fc.property(lease, (value) => {
    const written = Buffer.from(LeaseResponse.encode({ message: { $case: 'lease', value } }).finish());
    t.deepEqual(readResponse(written), LeaseResponse.decode(written));
  }));
});

test('fields that this version does not know are passed over', (t) => {
  fc.assert(fc.property(lease, fc.integer({ min: 100, max: 2 ** 28 }), bytes, (value, field, content) => {
    const known = Buffer.from(LeaseResponse.encode({ message: { $case: 'lease', value } }).finish());
    const inLease = LeaseResponse.encode({ message: { $case: 'lease', value } });
    inLease.uint32((field << 3 | 2) >>> 0).bytes(content);
    t.deepEqual(readResponse(Buffer.from(inLease.finish())), LeaseResponse.decode(known));
  }));
});

test('a lease that is cut off is refused', (t) => {
  fc.assert(fc.property(lease, fc.nat(), (value, cut) => {
    const written = Buffer.from(LeaseResponse.encode({ message: { $case: 'lease', value } }).finish());
    const short = written.subarray(0, cut % written.length);
    fc.pre(short.length > 0);
    t.throws(() => readResponse(short), { instanceOf: RangeError });
  }));
});

const payload = fc.record({ content: bytes.map((value) => ({ $case: 'data' as const, value })), contentType: text });
const outcome = fc.oneof(
  fc.record({ $case: fc.constant('succeeded' as const), value: fc.record({ result: fc.option(payload, { nil: undefined }) }) }),
  fc.record({ $case: fc.constant('released' as const), value: fc.record({ delay: fc.option(duration, { nil: undefined }) }) }),
);
const followUp = text.map((id) => JobSpec.create({ id, queue: 'queue', type: 'type' }));
const jobOutcome = fc.record({
  jobId: fc.oneof(fc.uuid(), fc.uuid(), fc.string()),
  outcome,
  followUps: fc.array(followUp, { maxLength: 2 }),
});
const report = fc.record({ token: text, outcomes: fc.array(jobOutcome, { maxLength: 20 }) });

test('a report is written as the generated code writes it', (t) => {
  fc.assert(fc.property(report, (value) => {
    const request: LeaseRequest = { message: { $case: 'report', value } };
    t.deepEqual(writeRequest(request), Buffer.from(LeaseRequest.encode(request).finish()));
  }));
});
