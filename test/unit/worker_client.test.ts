import test from 'ava';
import fc from 'fast-check';
import { Metadata, status as codes } from '@grpc/grpc-js';
import { BadRequest, ErrorInfo, RetryInfo } from '../../proto/gen/google/rpc/error_details.ts';
import { Status } from '../../proto/gen/google/rpc/status.ts';
import { Job, JobSpec, JobState, UniqueConflict, UniqueScope } from '../../proto/gen/skiplease/v1/job.ts';
import { SkipleaseError } from '../../worker/index.ts';
import { Chunker, messageBytesMaxDefault } from '../../worker/client/chunks.ts';
import { snapshotFrom } from '../../worker/client/job_snapshot.ts';
import { specBytes, specFrom } from '../../worker/new_job.ts';
import { isOfAddress, retryWaitMs, withRetries } from '../../worker/client/retry.ts';
import { durationFromMs, msFromDuration } from '../../worker/wire/duration.ts';
import { payloadFrom, valueFrom } from '../../worker/wire/payload.ts';

function detail(name: string, value: Uint8Array): { typeUrl: string; value: Uint8Array } {
  return { typeUrl: `type.googleapis.com/google.rpc.${name}`, value };
}

const limitReached = [
  detail('ErrorInfo', ErrorInfo.encode({ reason: 'TOO_MANY', domain: 'skiplease', metadata: { limit: '10' } }).finish()),
  detail('RetryInfo', RetryInfo.encode({ retryDelay: { seconds: 1, nanos: 500_000_000 } }).finish()),
];

test('an error tells code, reason, bad fields and when to try again', (t) => {
  const badQueue = { field: 'job.queue', description: 'too long', reason: 'TOO_LONG', localizedMessage: undefined };
  const details = [...limitReached, detail('BadRequest', BadRequest.encode({ fieldViolations: [badQueue] }).finish())];
  const metadata = new Metadata();
  metadata.set('grpc-status-details-bin', Buffer.from(Status.encode({ code: 3, message: 'bad', details }).finish()));
  const error = SkipleaseError.fromStatus({ code: codes.INVALID_ARGUMENT, details: 'bad', metadata });
  t.like(error, { code: 'INVALID_ARGUMENT', message: 'bad', reason: 'TOO_MANY', retryDelayMs: 1_500, metadata: { limit: '10' } });
  t.deepEqual(error.fieldViolations, [{ field: 'job.queue', description: 'too long', reason: 'TOO_LONG' }]);
});

test('details that do not parse do not hide the error', (t) => {
  const metadata = new Metadata();
  metadata.set('grpc-status-details-bin', Buffer.from([0xff, 0xff, 0xff]));
  const error = SkipleaseError.fromStatus({ code: codes.NOT_FOUND, details: 'no such job', metadata });
  t.like(error, { code: 'NOT_FOUND', message: 'no such job', reason: '', retryDelayMs: undefined });
});

test('a call that a coordinator cuts off at its end is tried again, elsewhere', async (t) => {
  const cutOff = new SkipleaseError(codes.CANCELLED, 'Call cancelled');
  t.true(isOfAddress(cutOff));
  let tries = 0;
  const answer = await withRetries(2, async () => {
    tries += 1;
    if (tries === 1) throw cutOff;
    return 'done';
  }, () => {});
  t.is(answer, 'done');
});

test('a retry waits as long as the coordinator asks, and tries are bounded', async (t) => {
  const passing = new SkipleaseError(codes.RESOURCE_EXHAUSTED, 'full', limitReached);
  t.true(retryWaitMs(passing, 0) >= 1_500);
  let tries = 0;
  const away = new SkipleaseError(codes.UNAVAILABLE, 'away');
  const attempt = async (): Promise<never> => {
    tries += 1;
    throw away;
  };
  t.is(await t.throwsAsync(withRetries(3, attempt, () => {})), away);
  t.is(tries, 3);
  const refused = new SkipleaseError(codes.INVALID_ARGUMENT, 'no');
  tries = 0;
  await t.throwsAsync(withRetries(3, () => ((tries += 1), Promise.reject(refused)), () => {}), { is: refused });
  t.is(tries, 1, 'what is wrong stays wrong');
});

test('a job’s estimated size is never below its size on the wire', (t) => {
  const job = fc.record({
    queue: fc.string({ unit: 'binary', maxLength: 128 }),
    type: fc.string({ unit: 'binary', maxLength: 128 }),
    payload: fc.uint8Array({ maxLength: 300 }),
    contentType: fc.string({ unit: 'binary', maxLength: 127 }),
    priority: fc.nat(9),
    delayMs: fc.nat(),
    maxAttempts: fc.nat(1_000),
    timeoutMs: fc.nat(),
    headers: fc.dictionary(fc.string({ unit: 'binary', maxLength: 40 }), fc.string({ unit: 'binary' }), { maxKeys: 64 }),
    afterJobIds: fc.array(fc.uuid(), { maxLength: 20 }),
    afterPolicy: fc.constantFrom('CANCEL' as const, 'RUN_ANYWAY' as const),
  });
  fc.assert(fc.property(job, (newJob) => {
    const spec = specFrom(newJob);
    // With its tag and length in the list of a chunk.
    return specBytes(spec) >= JobSpec.encode(spec).finish().length + 6;
  }));
  t.pass();
});

test('chunks hold all jobs in order, and never more than they may', (t) => {
  const sizes = fc.array(fc.integer({ min: 0, max: 1024 * 1024 }), { maxLength: 40 });
  fc.assert(
    fc.property(sizes, fc.integer({ min: 1, max: 10 }), (payloadSizes, jobsMax) => {
      const specs = payloadSizes.map((size) => specFrom({ queue: 'q', type: 't', payload: Buffer.alloc(size) }));
      const chunker = new Chunker(jobsMax, messageBytesMaxDefault);
      const chunks = [...specs.map((spec) => chunker.add(spec)), chunker.take()].filter((chunk) => chunk !== undefined);
      t.deepEqual(chunks.flat().map(({ id }) => id), specs.map(({ id }) => id));
      return chunks.every((chunk) => {
        const bytes = chunk.reduce((sum, spec) => sum + specBytes(spec), 0);
        return chunk.length <= jobsMax && (bytes <= messageBytesMaxDefault || chunk.length === 1);
      });
    }),
    { numRuns: 50 },
  );
});

test('ids are made in order of time, before anything is sent', (t) => {
  const ids = Array.from({ length: 100 }, () => specFrom({ queue: 'q', type: 't' }).id);
  t.deepEqual(ids, ids.toSorted());
  t.is(new Set(ids).size, 100);
  t.regex(ids[0]!, /^[0-9a-f]{8}-[0-9a-f]{4}-7/);
});

test('durations and JSON values survive the way to the wire and back', (t) => {
  fc.assert(fc.property(fc.nat(2 ** 40), (milliseconds) => msFromDuration(durationFromMs(milliseconds)) === milliseconds));
  fc.assert(fc.property(fc.jsonValue(), (value) => {
    t.deepEqual(valueFrom(payloadFrom(value)), JSON.parse(JSON.stringify(value)));
  }));
});

test('a snapshot names its state, and says whether that is final', (t) => {
  const wire = Job.create({ id: 'id', queue: 'q', type: 't', attempt: 1, maxAttempts: 3, timeout: durationFromMs(1_500) });
  t.like(snapshotFrom({ ...wire, state: JobState.LEASED }), { state: 'LEASED', final: false, timeoutMs: 1_500 });
  for (const state of ['SUCCEEDED', 'FAILED', 'CANCELLED'] as const) {
    t.like(snapshotFrom({ ...wire, state: JobState[state] }), { state, final: true });
  }
});

test('what few jobs ask for goes out as the contract has it', (t) => {
  t.like(specFrom({
    queue: 'q', type: 't', retryPolicy: { initialBackoffMs: 1_500, factor: 3 }, unique: { key: 'k', lifetimeMs: 2_000, onConflict: 'REPLACE' },
    serialKey: 's', limitKey: 'l', startWithinMs: 500,
  }), {
    retryPolicy: { initialBackoff: { seconds: 1, nanos: 500_000_000 }, factor: 3 },
    unique: { key: 'k', scope: UniqueScope.QUEUE, lifetime: { seconds: 2, nanos: 0 }, onConflict: UniqueConflict.REPLACE },
    serialKey: 's', limitKey: 'l', deadline: { $case: 'startWithin', value: { seconds: 0, nanos: 500_000_000 } },
  });
  t.throws(() => specFrom({ queue: 'q', type: 't', startBy: new Date(), startWithinMs: 1 }), { instanceOf: TypeError });
});
