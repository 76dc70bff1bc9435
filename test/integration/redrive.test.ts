/** Cancel, purge and re-drive by filter, on two coordinators. */
import { status } from '@grpc/grpc-js';
import test, { type ExecutionContext } from 'ava';
import pg from 'pg';
import { CancelJobsRequest, JobFilter, ListJobsRequest, RetryJobsRequest, RetryOutcome } from '../../proto/gen/skiplease/v1/job_service.ts';
import { AttemptState, JobState } from '../../proto/gen/skiplease/v1/job.ts';
import type { JobSpec } from '../../proto/gen/skiplease/v1/job.ts';
import type { JobOutcome, LeaseResponse } from '../../proto/gen/skiplease/v1/worker_service.ts';
import { waitFor } from '../support/wait.ts';
import { call, failedForGood, jobSpec, refused, startRpc, succeeded } from '../support/rpc_clients.ts';
import type { HandWorker, Rpc } from '../support/rpc_clients.ts';

const DEADLINE_MS = 30_000;

let rpc: Rpc;
let second: Rpc;
let database: pg.Pool;
test.before(async () => {
  // Workers by hand send no heartbeats.
  const environment = { SKIPLEASE_LEASE_TTL_MS: '60000' };
  rpc = await startRpc(environment);
  second = await startRpc(environment, rpc.databaseUrl);
  database = new pg.Pool({ connectionString: rpc.databaseUrl, max: 2 });
});
test.after.always(async () => {
  await database?.end();
  await second?.stop();
  await rpc?.stop();
});

const inAnHour: JobSpec['start'] = { $case: 'delay', value: { seconds: 3_600, nanos: 0 } };
const cancel = (from: Rpc, filter: Partial<JobFilter>, reason = '') =>
  call(from.jobs, 'cancelJobs', CancelJobsRequest.create({ filter: JobFilter.create(filter), reason }));
const retry = (from: Rpc, filter: Partial<JobFilter>, fields: Partial<RetryJobsRequest> = {}) =>
  call(from.jobs, 'retryJobs', RetryJobsRequest.create({ filter: JobFilter.create(filter), ...fields }));

function specs(count: number, fields: Partial<JobSpec>): JobSpec[] {
  return Array.from({ length: count }, () => jobSpec(fields));
}

/** How many jobs of a queue have ended so. */
async function outcomes(queue: string, state: number): Promise<number> {
  const { rows } = await database.query<{ count: string }>(
    `select count(*) from skiplease.job j join skiplease.queue q on q.id = j.queue_id join skiplease.outcome o on o.job_id = j.id
      where q.name = $1 and o.state = $2`, [queue, state]);
  return Number(rows[0]!.count);
}

/** The jobs that were made of FAILED ones of a queue, in the order of their origins, with when they are due. */
async function redriven(queue: string): Promise<{ id: string; origin: string; dueMs: number | null }[]> {
  const { rows } = await database.query<{ id: string; origin: string; dueMs: number | null }>(
    `select j.id, j.origin_id as origin, extract(epoch from s.run_at)::float8 * 1000 as "dueMs"
       from skiplease.job j join skiplease.queue q on q.id = j.queue_id left join skiplease.scheduled s on s.job_id = j.id
      where q.name = $1 and j.origin_id is not null order by j.origin_id`, [queue]);
  return rows;
}

/** A worker that answers every job at once, until it is cut. */
async function answering(from: Rpc, queue: string, jobs: number, answer: (id: string) => JobOutcome): Promise<HandWorker> {
  const worker = await from.worker({ queues: [queue], jobs });
  const onLease = ({ message }: LeaseResponse) => {
    if (message?.$case === 'lease') {
      worker.say({ $case: 'report', value: { token: message.value.token, outcomes: message.value.jobs.map(({ id }) => answer(id)) } });
    }
  };
  worker.received.forEach(onLease);
  worker.stream.on('data', onLease);
  return worker;
}

/** Submits jobs of a new queue that fail for good, and waits until they have. */
async function failedJobs(queue: string, jobs: JobSpec[], codeOf: (id: string) => string = () => 'X'): Promise<string[]> {
  const ids = await rpc.submit(...jobs.map((job) => ({ ...job, queue })));
  const worker = await answering(rpc, queue, jobs.length, (id) => failedForGood(id, codeOf(id), 'it failed'));
  await waitFor(async () => (await outcomes(queue, JobState.FAILED)) === jobs.length, { deadlineMs: DEADLINE_MS, what: 'all to fail' });
  worker.cut();
  return ids;
}

async function states(t: ExecutionContext, ids: string[], expected: JobState): Promise<void> {
  for (const id of ids) {
    t.is((await rpc.get(id)).state, expected, id);
  }
}

test('cancel by filter finds jobs wherever they are, and leaves the others', async (t) => {
  const held = await rpc.submit(...specs(3, { queue: 'cf', type: 'a' }));
  const worker = await second.worker({ queues: ['cf'], jobs: 3 });
  const lease = await worker.lease();
  worker.say({ $case: 'window', value: { jobs: 3, bytes: 0, queues: [] } });
  const ready = await rpc.submit(...specs(2_500, { queue: 'cf', type: 'a' }), ...specs(2, { queue: 'cf', type: 'a', priority: 9 }));
  const timed = await rpc.submit(...specs(2, { queue: 'cf', type: 'a', start: inAnHour }));
  const others = await rpc.submit(jobSpec({ queue: 'cf', type: 'b' }), jobSpec({ queue: 'cf', type: 'b', start: inAnHour }), jobSpec({ queue: 'cf-2', type: 'a' }));
  t.is((await cancel(rpc, { queue: 'cf', type: 'a', createdBefore: new Date(Date.now() - 3_600_000) })).jobsCancelled, 0);
  t.deepEqual(await cancel(rpc, { queue: 'cf', type: 'a' }, 'not today'), { results: [], jobsCancelled: 2_507 });
  t.like((await rpc.get(ready[0]!)).error, { code: 'CANCELLED', message: 'not today' });
  await states(t, [...held, ...ready.slice(-3), ...timed], JobState.CANCELLED);
  t.deepEqual((await worker.next('cancel')).jobIds.length > 0, true);
  const { READY, SCHEDULED, LEASED } = JobState;
  const left = await Promise.all(others.map(async (id) => (await rpc.get(id)).state));
  t.true([READY, LEASED].some((state) => state === left[0]));
  t.deepEqual(left.slice(1), [SCHEDULED, READY]);
  t.is((await cancel(second, { type: 'a', queue: 'cf' })).jobsCancelled, 0, 'they are final');
  t.is((await cancel(second, { type: 'a', queue: 'nobody-submitted-here' })).jobsCancelled, 0);
  t.is(lease.jobs.length, 3);
  worker.cut();
});

test('cancel by type alone goes over all queues', async (t) => {
  const ids = await rpc.submit(...['x', 'y', 'z'].flatMap((queue) => [jobSpec({ queue: `ct-${queue}`, type: 'of-all' }), jobSpec({ queue: `ct-${queue}`, type: 'stays' })]));
  t.is((await cancel(rpc, { type: 'of-all' })).jobsCancelled, 3);
  await states(t, ids.filter((_, index) => index % 2 === 1), JobState.READY);
});

test('cancel by filter misses no job that moves meanwhile', async (t) => {
  const ids = await rpc.submit(...specs(3_000, { queue: 'moving', maxAttempts: 1_000 }), ...specs(300, { queue: 'moving', maxAttempts: 1_000, start: inAnHour }));
  // Given back at once, failed and tried again soon, or done: all the ways that a job goes.
  let turn = 0;
  const answer = (id: string): JobOutcome => {
    turn += 1;
    const soon = { seconds: 0, nanos: 1_000_000 };
    switch (turn % 4) {
      case 0: return succeeded(id);
      case 1: return { jobId: id, outcome: { $case: 'released', value: { delay: undefined } }, followUps: [] };
      case 2: return { jobId: id, outcome: { $case: 'snoozed', value: { delay: soon } }, followUps: [] };
      default: return { jobId: id, outcome: { $case: 'failed', value: { error: undefined, permanent: false, retryDelay: soon } }, followUps: [] };
    }
  };
  const workers = [await answering(rpc, 'moving', 100, answer), await answering(second, 'moving', 100, answer)];
  // A job that is on the move at each try makes the call ABORTED, with what it had done: then once more.
  await waitFor(async () => {
    const code = await cancel(second, { queue: 'moving' }).then(() => status.OK, (error: { code: number }) => error.code as status);
    t.true(code === status.OK || code === status.ABORTED, `${code}`);
    return code === status.OK;
  }, { deadlineMs: DEADLINE_MS, what: 'a cancel to get through' });
  const done = await outcomes('moving', JobState.SUCCEEDED);
  const cancelled = await outcomes('moving', JobState.CANCELLED);
  t.is(done + cancelled, ids.length, 'none is left when it returns');
  t.true(cancelled > 0);
  workers.forEach((worker) => worker.cut());
});

test('a purge ends all that waits, and lets go on what runs', async (t) => {
  t.like(await refused(call(rpc.queues, 'purgeQueue', { queue: 'never-seen', reason: '' })), { code: status.NOT_FOUND, reason: 'QUEUE_NOT_FOUND' });
  const running = await rpc.submit(...specs(2, { queue: 'purge' }));
  const worker = await rpc.worker({ queues: ['purge'], jobs: 2 });
  const lease = await worker.lease();
  const waiting = await rpc.submit(...specs(1_500, { queue: 'purge' }), ...specs(2, { queue: 'purge', start: inAnHour }));
  t.deepEqual(await call(second.queues, 'purgeQueue', { queue: 'purge', reason: '' }), { jobsCancelled: 1_502 });
  t.like((await rpc.get(waiting[0]!)).error, { code: 'CANCELLED', message: 'purged' });
  t.is(await outcomes('purge', JobState.CANCELLED), 1_502);
  await states(t, running, JobState.LEASED);
  const receipt = await worker.report(lease.token, running.map((id) => succeeded(id)));
  t.deepEqual(receipt.jobs.map((job) => job.status), [1, 1]);
  worker.cut();
});

test('dead letters are listed by queue, type and error class', async (t) => {
  const jobs = [...specs(4, { type: 'pay' }), ...specs(3, { type: 'refund' })];
  const codes = new Map<string, string>();
  const ids = await rpc.submit(...jobs.map((job) => ({ ...job, queue: 'dead', maxAttempts: 2 })));
  ids.forEach((id, index) => codes.set(id, index % 2 === 0 ? 'CARD_DECLINED' : 'NO_MONEY'));
  const tries = new Map<string, number>();
  // The first attempt of each fails in another way: the last one counts.
  const worker = await answering(rpc, 'dead', 10, (id) => {
    tries.set(id, (tries.get(id) ?? 0) + 1);
    const code = tries.get(id) === 1 ? 'FIRST' : codes.get(id)!;
    const error = { code, message: '', details: '' };
    return { jobId: id, outcome: { $case: 'failed', value: { error, permanent: false, retryDelay: { seconds: 0, nanos: 1_000_000 } } }, followUps: [] };
  });
  await waitFor(async () => (await outcomes('dead', JobState.FAILED)) === ids.length, { deadlineMs: DEADLINE_MS, what: 'all to fail' });
  worker.cut();
  const list = async (fields: Partial<ListJobsRequest>) => {
    const found: string[] = [];
    let pageToken = '';
    do {
      const page = await call(rpc.jobs, 'listJobs', ListJobsRequest.create({ queue: 'dead', state: JobState.FAILED, pageSize: 2, ...fields, pageToken }));
      found.push(...page.jobs.map(({ id }) => id));
      pageToken = page.nextPageToken;
    } while (pageToken !== '');
    return found;
  };
  const newest = (wanted: (index: number) => boolean) => ids.filter((_, index) => wanted(index)).sort().reverse();
  t.deepEqual(await list({ errorCode: 'CARD_DECLINED' }), newest((index) => index % 2 === 0));
  t.deepEqual(await list({ errorCode: 'NO_MONEY', type: 'pay' }), newest((index) => index % 2 === 1 && index < 4));
  t.deepEqual(await list({ errorCode: 'FIRST' }), []);
  t.deepEqual(await list({ errorCode: 'CARD_DECLINED', queue: 'dead-2' }), []);
  t.deepEqual(await retry(rpc, { queue: 'dead', errorCode: 'FIRST' }), { results: [], jobsRetried: 0 });
  t.deepEqual(await retry(rpc, { queue: 'dead', type: 'refund', errorCode: 'CARD_DECLINED' }), { results: [], jobsRetried: 2 });
  t.deepEqual((await redriven('dead')).map(({ origin }) => origin), [ids[4]!, ids[6]!].sort());
});

test('5,000 failed jobs are re-driven by two coordinators at once, at a rate, none of them twice', async (t) => {
  const ids = (await failedJobs('flood', specs(5_000, { headers: { a: 'b' }, priority: 3 }))).sort();
  const filter = { queue: 'flood' };
  const first = await retry(rpc, filter, { jobsMax: 1_500, jobsPerSecond: 0.001, maxAttempts: 7 });
  t.is(first.jobsRetried, 1_500);
  const made = await redriven('flood');
  t.deepEqual(made.map(({ origin }) => origin), ids.slice(0, 1_500), 'the oldest first');
  t.like(await rpc.get(made[0]!.id), { originJobId: ids[0], maxAttempts: 7, priority: 3, headers: { a: 'b' }, attempt: 0 });
  const answers = await Promise.all([rpc, second, rpc, second].map((from) => retry(from, filter, { jobsPerSecond: 2_000 })));
  t.is(answers.reduce((sum, { jobsRetried }) => sum + jobsRetried, 0), 3_500);
  const all = await redriven('flood');
  t.deepEqual(all.map(({ origin }) => origin), ids);
  t.is((await retry(second, filter)).jobsRetried, 0);
  const again = await call(second.jobs, 'retryJobs', RetryJobsRequest.create({ jobIds: ids.slice(0, 2) }));
  t.deepEqual(again.results.map(({ outcome, retriedAsJobId }) => [outcome, retriedAsJobId]), all.slice(0, 2).map(({ id }) => [RetryOutcome.ALREADY_RETRIED, id]));
  // One that was cancelled counts as re-driven all the same.
  t.is((await call(rpc.jobs, 'cancelJobs', CancelJobsRequest.create({ jobIds: [all[1]!.id] }))).jobsCancelled, 1);
  t.is((await retry(second, filter)).jobsRetried, 0);
  const worker = await answering(second, 'flood', 1_000, (id) => succeeded(id));
  await waitFor(async () => (await outcomes('flood', JobState.SUCCEEDED)) === 3_501, { deadlineMs: DEADLINE_MS, what: 'the re-driven ones to be done' });
  worker.cut();
});

test('a re-drive at a rate is spread evenly', async (t) => {
  await failedJobs('even', specs(2_100, {}));
  const before = Date.now();
  t.is((await retry(rpc, { queue: 'even' }, { jobsPerSecond: 0.1 })).jobsRetried, 2_100);
  const due = (await redriven('even')).map(({ dueMs }) => dueMs);
  // The first one is due at once, and may have gone.
  const gaps = due.slice(2).map((dueMs, index) => Math.round(dueMs! - due[index + 1]!));
  t.deepEqual([...new Set(gaps)], [10_000], 'also from one commit to the next');
  t.true(Math.abs(due[1]! - before - 10_000) < 10_000);
});

test('what a re-drive that breaks off has done stays, and another call goes on', async (t) => {
  await failedJobs('broken', specs(8_000, {}));
  const request = RetryJobsRequest.create({ filter: JobFilter.create({ queue: 'broken' }), jobsPerSecond: 0.001 });
  const begun = async () => (await redriven('broken')).length;
  const left = rpc.jobs.retryJobs(request, () => {});
  await waitFor(async () => (await begun()) > 0, { deadlineMs: DEADLINE_MS, what: 'a first commit' });
  left.cancel();
  const third = await startRpc({}, rpc.databaseUrl);
  const before = await begun();
  third.jobs.retryJobs(request, () => {});
  await waitFor(async () => (await begun()) > before, { deadlineMs: DEADLINE_MS, what: 'a commit of another coordinator' });
  third.coordinator.kill('SIGKILL');
  const { jobsRetried } = await retry(second, { queue: 'broken' }, { jobsPerSecond: 0.001 });
  t.true(before < 8_000, 'it went no further when its caller had left');
  t.true(jobsRetried > 0);
  const made = await redriven('broken');
  t.is(made.length, 8_000);
  t.is(new Set(made.map(({ origin }) => origin)).size, 8_000);
  await third.stop();
});

test('the history of attempts keeps so much of each error', async (t) => {
  const [jobId] = await rpc.submit(jobSpec({ queue: 'history', maxAttempts: 2 }));
  const error = { code: 'c'.repeat(150), message: 'm'.repeat(3_000), details: `${'d'.repeat(7_999)}😀${'d'.repeat(2_000)}` };
  const worker = await answering(rpc, 'history', 1, (id) => (
    { jobId: id, outcome: { $case: 'failed', value: { error, permanent: false, retryDelay: { seconds: 0, nanos: 1_000_000 } } }, followUps: [] }));
  const job = await rpc.until(jobId!, ({ state }) => state === JobState.FAILED, 'the job to fail');
  t.deepEqual(job.attempts.map(({ number, state, workerId }) => ({ number, state, workerId })),
    [1, 2].map((number) => ({ number, state: AttemptState.FAILED, workerId: 'by-hand' })));
  for (const attempt of job.attempts) {
    t.deepEqual({ code: attempt.error!.code, message: attempt.error!.message }, { code: 'c'.repeat(100), message: 'm'.repeat(2_000) });
    t.regex(attempt.error!.details, /^d{7999}\uFFFD$/, 'cut within a pair, it is text all the same');
    t.true(attempt.endTime!.getTime() >= attempt.startTime!.getTime());
  }
  t.is((await retry(rpc, { queue: 'history', errorCode: 'c'.repeat(100) })).jobsRetried, 1);
  worker.cut();
});

test('a job backs off by its own retry policy, and its re-drive keeps that and its keys', async (t) => {
  const retryPolicy = { maxAttempts: 2, initialBackoff: { seconds: 3_000, nanos: 0 }, factor: undefined, maxBackoff: undefined, jitter: 0 };
  const spec = jobSpec({ queue: 'policy', retryPolicy, serialKey: 's', limitKey: 'l', unique: { key: 'u', scope: 0, lifetime: undefined, onConflict: 0 } });
  const [jobId] = await rpc.submit(spec);
  const worker = await second.worker({ queues: ['policy'], jobs: 1 });
  const lease = await worker.lease();
  t.is(lease.jobs[0]!.maxAttempts, 2);
  const error = { code: 'X', message: '', details: '' };
  await worker.report(lease.token, [{ jobId: jobId!, outcome: { $case: 'failed', value: { error, permanent: false, retryDelay: undefined } }, followUps: [] }]);
  const job = await rpc.get(jobId!);
  t.like(job, { state: JobState.SCHEDULED, maxAttempts: 2, retryPolicy: { initialBackoff: { seconds: 3_000, nanos: 0 }, jitter: 0, factor: undefined } });
  t.true(Math.abs(job.runAt!.getTime() - Date.now() - 3_000_000) < 60_000);
  const [failed] = await failedJobs('policy-2', [spec]);
  await retry(rpc, { queue: 'policy-2' }, { jobsPerSecond: 0.001 });
  const [made] = await redriven('policy-2');
  const again = await rpc.get(made!.id);
  t.like(again, { originJobId: failed, maxAttempts: 2, serialKey: 's', limitKey: 'l', unique: undefined });
  t.deepEqual(again.retryPolicy, job.retryPolicy);
  worker.cut();
});

for (const [what, request, field] of [
  ['no filter and no ids', {}, 'job_ids'],
  ['both', { jobIds: ['0197f6a0-0000-7000-8000-000000000000'], filter: { queue: 'q' } }, 'filter'],
  ['a filter of everything', { filter: {} }, 'filter'],
  ['a bad queue', { filter: { queue: 'a b' } }, 'filter.queue'],
  ['a bad type', { filter: { queue: 'q', type: 'a b' } }, 'filter.type'],
  ['a long error class', { filter: { queue: 'q', errorCode: 'x'.repeat(101) } }, 'filter.error_code'],
] as [string, { jobIds?: string[]; filter?: Partial<JobFilter> }, string][]) {
  test(`refused: ${what}`, async (t) => {
    const fields = { jobIds: request.jobIds ?? [], filter: request.filter && JobFilter.create(request.filter) };
    const refusals = [
      await refused(call(rpc.jobs, 'cancelJobs', CancelJobsRequest.create(fields))),
      await refused(call(rpc.jobs, 'retryJobs', RetryJobsRequest.create(fields))),
    ];
    for (const { code, violations } of refusals) {
      t.is(code, status.INVALID_ARGUMENT);
      t.is(violations[0]!.field, field);
    }
  });
}

test('refused: what a call has no use for', async (t) => {
  const filter = JobFilter.create({ queue: 'q' });
  const jobIds = ['0197f6a0-0000-7000-8000-000000000000'];
  for (const [fields, field] of [
    [{ filter, jobsMax: -1 }, 'jobs_max'],
    [{ jobIds, jobsMax: 1 }, 'jobs_max'],
    [{ filter, maxAttempts: 1_001 }, 'max_attempts'],
    [{ filter, jobsPerSecond: 0.0001 }, 'jobs_per_second'],
    [{ filter, jobsPerSecond: Number.NaN }, 'jobs_per_second'],
    [{ filter, jobsPerSecond: -1 }, 'jobs_per_second'],
  ] as [Partial<RetryJobsRequest>, string][]) {
    const { code, violations } = await refused(call(rpc.jobs, 'retryJobs', RetryJobsRequest.create(fields)));
    t.deepEqual([code, violations.map((violation) => violation.field)], [status.INVALID_ARGUMENT, [field]]);
  }
  const cancelled = await refused(cancel(rpc, { queue: 'q', errorCode: 'X' }));
  t.deepEqual(cancelled.violations.map(({ field }) => field), ['filter.error_code']);
  const listed = await refused(call(rpc.jobs, 'listJobs', ListJobsRequest.create({ queue: 'q', errorCode: 'X' })));
  t.deepEqual(listed.violations.map(({ field }) => field), ['error_code']);
  t.deepEqual((await refused(call(rpc.queues, 'purgeQueue', { queue: 'cf', reason: 'x'.repeat(201) }))).violations.map(({ field }) => field), ['reason']);
});
