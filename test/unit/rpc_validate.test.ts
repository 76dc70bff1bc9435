import test from 'ava';
import type { ExecutionContext } from 'ava';
import { JobSpec, RetryPolicy } from '../../proto/gen/skiplease/v1/job.ts';
import { SkipleaseError } from '../../coordinator/errors.ts';
import { newJobId, uuidFloor, uuidTimeMs } from '../../coordinator/rpc/ids.ts';
import { checkJobId, checkJobIds } from '../../coordinator/rpc/check_names.ts';
import { checkJob, checkJobs } from '../../coordinator/rpc/validate.ts';

const NOW = Date.UTC(2026, 0, 1);
const RULES = { nowMs: NOW, payloadBytesMax: 1_024 };

function spec(fields: Partial<JobSpec> = {}): JobSpec {
  return { ...JobSpec.create({ queue: 'mail', type: 'send' }), ...fields };
}

function refused(t: ExecutionContext, run: () => unknown): SkipleaseError {
  const error = t.throws(run, { instanceOf: SkipleaseError });
  t.is(error.code, 'INVALID_ARGUMENT');
  return error;
}

test('a plain job gets an id of the moment and the queue\'s policy', (t) => {
  const job = checkJob(spec({ payload: { content: { $case: 'data', value: Buffer.from('x') }, contentType: '' } }), RULES, 'job');
  t.is(uuidTimeMs(job.id), NOW);
  t.like(job, { queue: 'mail', type: 'send', contentType: null, priority: 0, runAtMs: null, maxAttempts: null, timeoutMs: null, headers: null, originId: null });
  t.is(Buffer.from(job.payload).toString(), 'x');
});

test('ids made within a millisecond differ and keep their order', (t) => {
  const ids = Array.from({ length: 10_000 }, () => newJobId(NOW));
  t.deepEqual([...new Set(ids)].sort(), ids);
  t.true(ids.every((id) => id[14] === '7' && '89ab'.includes(id[19]!)));
});

test('an id is kept, in lower case, while its time is within bounds', (t) => {
  const id = newJobId(NOW - 3_600_000);
  t.is(checkJob(spec({ id: id.toUpperCase() }), RULES, 'job').id, id);
  for (const ms of [NOW - 86_400_000 - 1, NOW + 300_001]) {
    const old = uuidFloor(ms).replace('-0000-0000-', '-7000-8000-');
    const [violation] = refused(t, () => checkJob(spec({ id: old }), RULES, 'job')).violations;
    t.is(violation!.field, 'job.id');
    t.true(violation!.description.includes(new Date(ms).toISOString()) && violation!.description.includes(new Date(NOW).toISOString()));
  }
  for (const ms of [NOW - 86_400_000, NOW + 300_000]) {
    t.is(checkJob(spec({ id: uuidFloor(ms).replace('-0000-0000-', '-7000-8000-') }), RULES, 'job').id.length, 36);
  }
});

test('a retry policy of a job\'s own: its attempts stand with the job, the rest in its options', (t) => {
  const retryPolicy = { maxAttempts: 7, initialBackoff: { seconds: 0, nanos: 5_000_000 }, factor: 3, maxBackoff: undefined, jitter: 0 };
  t.like(checkJob(spec({ retryPolicy }), RULES, 'job'), { maxAttempts: 7, options: { retry: { initialMs: 5, factor: 3, jitter: 0 } } });
  t.is(checkJob(spec({ retryPolicy, maxAttempts: 7 }), RULES, 'job').maxAttempts, 7);
  const attemptsOnly = checkJob(spec({ retryPolicy: RetryPolicy.create({ maxAttempts: 2 }) }), RULES, 'job');
  t.is(attemptsOnly.maxAttempts, 2);
  t.is(attemptsOnly.options, null, 'a plain job');
});

test('a unique key of limited lifetime is kept no longer than final jobs are', (t) => {
  const unique = (days: number) => spec({ unique: { key: 'k', scope: 0, lifetime: { seconds: days * 86_400, nanos: 0 }, onConflict: 0 } });
  const rules = { ...RULES, retentionDays: 7 };
  t.deepEqual(checkJob(unique(7), rules, 'job').options, { unique: { key: 'k', scope: 'queue', lifetimeMs: 7 * 86_400_000, onConflict: 'return_existing' } });
  t.deepEqual(refused(t, () => checkJob(unique(8), rules, 'job')).violations.map(({ field }) => field), ['job.unique.lifetime']);
});

const name129 = 'a'.repeat(129);
const headers65 = Object.fromEntries(Array.from({ length: 65 }, (_, index) => [`h${index}`, '']));
for (const [what, fields, field] of [
  ['an empty queue', { queue: '' }, 'job.queue'],
  ['a queue that is too long', { queue: name129 }, 'job.queue'],
  ['a queue with a blank', { queue: 'a b' }, 'job.queue'],
  ['a queue that begins with a dot', { queue: '.a' }, 'job.queue'],
  ['a queue with a letter beyond ASCII', { queue: 'käse' }, 'job.queue'],
  ['attempts that contradict', { maxAttempts: 3, retryPolicy: RetryPolicy.create({ maxAttempts: 4 }) }, 'job.retry_policy.max_attempts'],
  ['no attempts in the policy', { retryPolicy: RetryPolicy.create({ maxAttempts: 0 }) }, 'job.retry_policy.max_attempts'],
  ['a factor that shrinks', { retryPolicy: RetryPolicy.create({ factor: 0.5 }) }, 'job.retry_policy.factor'],
  ['more jitter than there is delay', { retryPolicy: RetryPolicy.create({ jitter: 1.5 }) }, 'job.retry_policy.jitter'],
  ['a first backoff of two days', { retryPolicy: RetryPolicy.create({ initialBackoff: { seconds: 172_800, nanos: 0 } }) }, 'job.retry_policy.initial_backoff'],
  ['no longest backoff', { retryPolicy: RetryPolicy.create({ maxBackoff: { seconds: 0, nanos: 0 } }) }, 'job.retry_policy.max_backoff'],
  ['an empty type', { type: '' }, 'job.type'],
  ['a type with a null character', { type: 'a\0' }, 'job.type'],
  ['no UUID', { id: 'order-17' }, 'job.id'],
  ['a UUIDv4', { id: '7d444840-9dc0-4d1a-b245-5ffdce74fad2' }, 'job.id'],
  ['a priority below', { priority: -1 }, 'job.priority'],
  ['a priority above', { priority: 10 }, 'job.priority'],
  ['too many attempts', { maxAttempts: 1_001 }, 'job.max_attempts'],
  ['negative attempts', { maxAttempts: -1 }, 'job.max_attempts'],
  ['a negative delay', { start: { $case: 'delay', value: { seconds: -1, nanos: 0 } } }, 'job.delay'],
  ['a delay with nanos out of range', { start: { $case: 'delay', value: { seconds: 1, nanos: 1_000_000_000 } } }, 'job.delay'],
  ['a delay with mixed signs', { start: { $case: 'delay', value: { seconds: 1, nanos: -1 } } }, 'job.delay'],
  ['a delay of eleven years', { start: { $case: 'delay', value: { seconds: 11 * 31_536_000, nanos: 0 } } }, 'job.delay'],
  ['a time that is none', { start: { $case: 'runAt', value: new Date(Number.NaN) } }, 'job.run_at'],
  ['a time beyond the year 9999', { start: { $case: 'runAt', value: new Date(8.64e15) } }, 'job.run_at'],
  ['a timeout of nothing', { timeout: { seconds: 0, nanos: 0 } }, 'job.timeout'],
  ['a timeout of 31 days', { timeout: { seconds: 31 * 86_400, nanos: 0 } }, 'job.timeout'],
  ['too many headers', { headers: headers65 }, 'job.headers'],
  ['headers that are too long', { headers: { a: 'x'.repeat(16_384) } }, 'job.headers'],
  ['a header without a name', { headers: { '': 'x' } }, 'job.headers'],
  ['a header with a null character', { headers: { a: '\0' } }, 'job.headers'],
  ['a payload over the limit', { payload: { content: { $case: 'data', value: new Uint8Array(1_025) }, contentType: '' } }, 'job.payload.data'],
] as [string, Partial<JobSpec>, string][]) {
  test(`${what} is refused at ${field}`, (t) => {
    t.deepEqual(refused(t, () => checkJob(spec(fields), RULES, 'job')).violations.map((violation) => violation.field), [field]);
  });
}

test('what is within bounds is translated', (t) => {
  const job = checkJob(spec({
    start: { $case: 'delay', value: { seconds: 2, nanos: 500_000_000 } }, timeout: { seconds: 0, nanos: 1 }, maxAttempts: 5, priority: 9, headers: { trace: 'ä' },
  }), RULES, 'job');
  t.like(job, { runAtMs: NOW + 2_500, timeoutMs: 1, maxAttempts: 5, priority: 9, headers: '{"trace":"ä"}' });
  t.is(checkJob(spec({ start: { $case: 'runAt', value: new Date(NOW - 1) } }), RULES, 'job').runAtMs, null, 'a time that has passed is now');
  t.is(checkJob(spec({ start: { $case: 'runAt', value: new Date(NOW + 1) } }), RULES, 'job').runAtMs, NOW + 1);
});

test('every bad job of a request is named, up to a bound', (t) => {
  const error = refused(t, () => checkJobs([spec(), spec({ queue: '' }), spec({ type: '', priority: 99 })], RULES, { min: 1, max: 10 }));
  t.deepEqual(error.violations.map(({ field }) => field), ['jobs[1].queue', 'jobs[2].type', 'jobs[2].priority']);
  const many = refused(t, () => checkJobs(Array.from({ length: 5_000 }, () => spec({ queue: '' })), RULES, { min: 1, max: 10_000 }));
  t.is(many.violations.length, 100);
});

test('the number of jobs is bounded, and says so', (t) => {
  t.deepEqual(refused(t, () => checkJobs([], RULES, { min: 1, max: 10 })).violations, [{ field: 'jobs', description: 'has 0 jobs: 1 to 10 are accepted' }]);
  refused(t, () => checkJobs(Array.from({ length: 11 }, () => spec()), RULES, { min: 1, max: 10 }));
  t.is(refused(t, () => checkJob(undefined, RULES, 'job')).violations[0]!.field, 'job');
});

test('ids of requests are checked', (t) => {
  const id = newJobId(NOW);
  t.deepEqual(checkJobIds([id.toUpperCase()], 5, 'job_ids'), [id]);
  t.deepEqual(refused(t, () => checkJobIds([id, 'x', ''], 5, 'job_ids')).violations.map(({ field }) => field), ['job_ids[1]', 'job_ids[2]']);
  refused(t, () => checkJobIds([], 5, 'job_ids'));
  refused(t, () => checkJobIds(Array.from({ length: 6 }, () => id), 5, 'job_ids'));
  refused(t, () => checkJobId(''));
});
