import { status } from '@grpc/grpc-js';
import test from 'ava';
import pg from 'pg';
import { CancelJobsRequest, CancelOutcome, ListJobsRequest, RetryJobsRequest, RetryOutcome } from '../../proto/gen/skiplease/v1/job_service.ts';
import type { ListJobsResponse } from '../../proto/gen/skiplease/v1/job_service.ts';
import { JobState } from '../../proto/gen/skiplease/v1/job.ts';
import { CancelReason, ReceiptStatus } from '../../proto/gen/skiplease/v1/worker_service.ts';
import type { LeaseResponse } from '../../proto/gen/skiplease/v1/worker_service.ts';
import { newJobId } from '../../coordinator/rpc/ids.ts';
import { call, data, failedForGood, jobSpec, refused, startRpc, succeeded } from '../support/rpc_clients.ts';
import type { Rpc } from '../support/rpc_clients.ts';

let rpc: Rpc;
test.before(async () => {
  rpc = await startRpc();
});
test.after.always(() => rpc?.stop());

test('a submitted job is there, as it was submitted', async (t) => {
  const { jobId, existing } = await call(rpc.jobs, 'submitJob', { job: jobSpec({
    queue: 'whole', payload: { content: { $case: 'json', value: { to: 'ä', n: 2 ** 53 - 1 } }, contentType: '' }, priority: 3, maxAttempts: 7,
    timeout: { seconds: 90, nanos: 0 }, headers: { trace: '1' },
  }) });
  t.false(existing);
  const job = await rpc.get(jobId);
  t.like(job, {
    id: jobId, queue: 'whole', type: 'send', state: JobState.READY, priority: 3, attempt: 0, maxAttempts: 7, timeout: { seconds: 90, nanos: 0 },
    headers: { trace: '1' }, error: undefined, attempts: [], workerId: '', originJobId: '',
  });
  t.deepEqual(job.payload!.content, { $case: 'json', value: { to: 'ä', n: 2 ** 53 - 1 } });
  t.true(Math.abs(job.createTime!.getTime() - Date.now()) < 60_000);
});

test('the same id creates nothing twice, and another queue is told', async (t) => {
  const spec = jobSpec({ queue: 'twice', id: newJobId(Date.now()) });
  t.deepEqual(await call(rpc.jobs, 'submitJob', { job: spec }), { jobId: spec.id, existing: false });
  t.deepEqual(await call(rpc.jobs, 'submitJob', { job: spec }), { jobId: spec.id, existing: true });
  const many = await call(rpc.jobs, 'submitJobs', { jobs: [spec, jobSpec({ queue: 'twice' })] });
  t.deepEqual(many.existingJobIds, [spec.id]);
  t.is(many.jobIds.length, 2);
  const refusal = await refused(call(rpc.jobs, 'submitJob', { job: { ...spec, queue: 'other' } }));
  t.is(refusal.code, status.ALREADY_EXISTS);
  t.is(refusal.domain, 'skiplease');
});

test('a job that waits for its time says when', async (t) => {
  const runAt = new Date(Date.now() + 3_600_000);
  const [jobId] = await rpc.submit(jobSpec({ queue: 'later', start: { $case: 'runAt', value: runAt } }));
  const job = await rpc.get(jobId!);
  t.is(job.state, JobState.SCHEDULED);
  t.deepEqual(job.runAt, runAt);
});

test('an expected order of states, each seen with what belongs to it', async (t) => {
  const [jobId] = await rpc.submit(jobSpec({ queue: 'states', payload: data('work') }));
  const worker = await rpc.worker({ queues: ['states'], workerId: 'w-states' });
  const lease = await worker.lease();
  t.like(await rpc.get(jobId!), { state: JobState.LEASED, attempt: 1, workerId: 'w-states' });
  worker.say({ $case: 'progress', value: { token: lease.token, jobId: jobId!, percent: 40, note: 'on the way', checkpoint: data('c') } });
  const moving = await rpc.until(jobId!, ({ progress }) => progress !== undefined, 'progress');
  t.like(moving.progress, { percent: 40, note: 'on the way', hasCheckpoint: true });
  await worker.report(lease.token, [succeeded(jobId!, { content: { $case: 'jsonText', value: '{"ok":true}' }, contentType: '' })]);
  const done = await rpc.get(jobId!);
  t.like(done, { state: JobState.SUCCEEDED, attempt: 1, workerId: '', progress: undefined });
  t.deepEqual(done.result!.content, { $case: 'json', value: { ok: true } });
  t.true(done.finishTime!.getTime() >= done.createTime!.getTime());
  worker.cut();
});

test('jobs that do not exist are NOT_FOUND, and ids that are none INVALID_ARGUMENT', async (t) => {
  t.like(await refused(call(rpc.jobs, 'getJob', { jobId: newJobId(Date.now()) })), { code: status.NOT_FOUND, reason: 'JOB_NOT_FOUND' });
  const forgotten = await refused(call(rpc.jobs, 'getJob', { jobId: newJobId(Date.now() - 9.5 * 86_400_000) }));
  t.like(forgotten, { code: status.NOT_FOUND, reason: 'JOB_NOT_FOUND' });
  t.regex(forgotten.message, /9 days old, and a job is forgotten 7 days after its end \(30 if it FAILED\)/);
  t.like(await refused(call(rpc.jobs, 'getJob', { jobId: '17' })), { code: status.INVALID_ARGUMENT, reason: 'INVALID_FIELD' });
});

test('cancel, wherever a job is', async (t) => {
  const [ready, scheduled, done, leased] = await rpc.submit(
    jobSpec({ queue: 'cancel-ready' }), jobSpec({ queue: 'cancel', start: { $case: 'delay', value: { seconds: 3_600, nanos: 0 } } }),
    jobSpec({ queue: 'cancel' }), jobSpec({ queue: 'cancel' }),
  );
  const unknown = newJobId(Date.now());
  const worker = await rpc.worker({ queues: ['cancel'] });
  const lease = await worker.lease();
  t.deepEqual(lease.jobs.map(({ id }) => id), [done!, leased!]);
  await worker.report(lease.token, [succeeded(done!)]);

  const cancel = () => call(rpc.jobs, 'cancelJobs', CancelJobsRequest.create({ jobIds: [ready!, scheduled!, done!, leased!, unknown], reason: 'no longer wanted' }));
  const { CANCELLED, ALREADY_FINAL, NOT_FOUND } = CancelOutcome;
  t.deepEqual((await cancel()).results.map(({ outcome }) => outcome), [CANCELLED, CANCELLED, ALREADY_FINAL, CANCELLED, NOT_FOUND]);
  for (const [id, attempt] of [[ready, 0], [scheduled, 0], [leased, 1]] as const) {
    const job = await rpc.get(id!);
    t.like(job, { state: JobState.CANCELLED, attempt });
    t.like(job.error, { code: 'CANCELLED', message: 'no longer wanted' });
  }
  t.like(await worker.next('cancel'), { token: lease.token, jobIds: [leased!], reason: CancelReason.JOB_CANCELLED, message: 'no longer wanted' });
  const receipt = await worker.report(lease.token, [succeeded(leased!), succeeded(done!)]);
  t.deepEqual(receipt.jobs.map((job) => job.status), [ReceiptStatus.CANCELLED, ReceiptStatus.DUPLICATE]);
  t.deepEqual((await cancel()).results.map(({ outcome }) => outcome), [ALREADY_FINAL, ALREADY_FINAL, ALREADY_FINAL, ALREADY_FINAL, NOT_FOUND]);
  worker.cut();
});

test('a cancel that races with claims and reports ends every job once', async (t) => {
  const ids = await rpc.submit(...Array.from({ length: 200 }, () => jobSpec({ queue: 'race' })));
  const worker = await rpc.worker({ queues: ['race'], jobs: 40 });
  let handled = 0;
  worker.stream.on('data', ({ message }: LeaseResponse) => {
    if (message?.$case === 'lease') {
      worker.say({ $case: 'report', value: { token: message.value.token, outcomes: message.value.jobs.map(({ id }) => succeeded(id)) } });
      handled += message.value.jobs.length;
    }
  });
  const cancelled = new Set<string>();
  for (let first = 0; first < ids.length; first += 50) {
    const { results } = await call(rpc.jobs, 'cancelJobs', CancelJobsRequest.create({ jobIds: ids.slice(first, first + 50).reverse(), reason: '' }));
    results.filter(({ outcome }) => outcome === CancelOutcome.CANCELLED).forEach(({ jobId }) => cancelled.add(jobId));
  }
  for (const id of ids) {
    const job = await rpc.until(id, ({ state }) => state === JobState.SUCCEEDED || state === JobState.CANCELLED, 'an end');
    t.is(job.state === JobState.CANCELLED, cancelled.has(id), id);
  }
  t.true(handled >= ids.length - cancelled.size);
  worker.cut();
});

test('a cancel that meets a lock gives up on that job alone', async (t) => {
  const [held] = await rpc.submit(jobSpec({ queue: 'locked' }));
  const worker = await rpc.worker({ queues: ['locked'], jobs: 1 });
  const lease = await worker.lease();
  const others = await rpc.submit(...Array.from({ length: 5 }, () => jobSpec({ queue: 'locked' })));
  const client = new pg.Client({ connectionString: rpc.databaseUrl });
  await client.connect();
  await client.query('begin');
  await client.query('select from skiplease.lease where id = $1 for update', [lease.token.split('.')[0]]);
  const cancel = () => call(rpc.jobs, 'cancelJobs', CancelJobsRequest.create({ jobIds: [held!, ...others], reason: '' }));
  t.like(await refused(cancel()), { code: status.ABORTED, reason: 'JOB_ON_THE_MOVE' });
  for (const id of others) {
    t.is((await rpc.get(id)).state, JobState.CANCELLED);
  }
  t.is((await rpc.get(held!)).state, JobState.LEASED);
  await client.query('rollback');
  t.is((await cancel()).results[0]!.outcome, CancelOutcome.CANCELLED);
  await client.end();
  worker.cut();
});

test('a failed job is retried at most once, also when many ask at once', async (t) => {
  const [failed, ready] = await rpc.submit(jobSpec({ queue: 'retry', payload: data('p'), headers: { a: 'b' }, priority: 4 }), jobSpec({ queue: 'retry-not' }));
  const worker = await rpc.worker({ queues: ['retry'] });
  const lease = await worker.lease();
  await worker.report(lease.token, [failedForGood(failed!, 'CARD_DECLINED', 'no money')]);
  const before = await rpc.get(failed!);
  t.like(before, { state: JobState.FAILED, attempt: 1 });
  t.like(before.error, { code: 'CARD_DECLINED', message: 'no money' });
  t.is(before.attempts.length, 1);

  const unknown = newJobId(Date.now());
  const answers = await Promise.all(Array.from({ length: 8 }, () => call(rpc.jobs, 'retryJobs', RetryJobsRequest.create({ jobIds: [failed!, ready!, unknown, failed!] }))));
  const outcomes = answers.map(({ results }) => results[0]!);
  t.is(outcomes.filter(({ outcome }) => outcome === RetryOutcome.RETRIED).length, 1);
  t.is(outcomes.filter(({ outcome }) => outcome === RetryOutcome.ALREADY_RETRIED).length, 7);
  t.is(new Set(outcomes.map(({ retriedAsJobId }) => retriedAsJobId)).size, 1);
  t.deepEqual(answers[0]!.results.slice(1, 3).map(({ outcome }) => outcome), [RetryOutcome.NOT_FAILED, RetryOutcome.NOT_FOUND]);

  const again = outcomes[0]!.retriedAsJobId;
  const second = await worker.lease();
  t.deepEqual(second.jobs.map(({ id, attempt, headers, payload }) => ({ id, attempt, headers, payload: Buffer.from(payload).toString() })),
    [{ id: again, attempt: 1, headers: { a: 'b' }, payload: 'p' }]);
  t.like(await rpc.get(again), { originJobId: failed, priority: 4 });
  t.is((await rpc.get(failed!)).retriedAsJobId, again);
  worker.cut();
});

test('the ready jobs of a line that is too long to sort are listed all the same', async (t) => {
  const chunk = Array.from({ length: 10_000 }, () => jobSpec({ queue: 'long', type: 't' }));
  const ids: string[] = [];
  for (let count = 0; count < 51_000; count += 10_000) {
    ids.push(...await rpc.submit(...chunk));
  }
  const { queue } = await call(rpc.queues, 'getQueue', { queue: 'long' });
  t.like(queue!.depth!, { ready: 50_000, capped: true });
  const newest = [...ids].sort().reverse();
  const list = (pageToken: string) => call(rpc.jobs, 'listJobs', ListJobsRequest.create({ queue: 'long', state: JobState.READY, pageSize: 1_000, pageToken }));
  const first = await list('');
  t.deepEqual(first.jobs.map(({ id }) => id), newest.slice(0, 1_000));
  t.deepEqual((await list(first.nextPageToken)).jobs.map(({ id }) => id), newest.slice(1_000, 2_000));
});

test('lists: every filter, newest first, page by page', async (t) => {
  const from = new Date();
  const ids = await rpc.submit(...Array.from({ length: 25 }, (_, index) => jobSpec({ queue: 'list', type: index % 2 === 0 ? 'even' : 'odd' })));
  const later = await rpc.submit(...Array.from({ length: 3 }, () => jobSpec({ queue: 'list', start: { $case: 'delay', value: { seconds: 3_600, nanos: 0 } } })));
  const worker = await rpc.worker({ queues: ['list'], jobs: 5 });
  const lease = await worker.lease();
  const held = lease.jobs.map(({ id }) => id);
  await worker.report(lease.token, [succeeded(held[0]!), failedForGood(held[1]!, 'X', 'y')]);
  worker.say({ $case: 'window', value: { jobs: 0, bytes: 0, queues: [] } });
  const filter = ListJobsRequest.create({ queue: 'list' });
  const all = async (changes: Partial<ListJobsRequest>) => {
    const found: string[] = [];
    let pageToken = '';
    do {
      const page: ListJobsResponse = await list({ ...filter, ...changes, pageToken });
      found.push(...page.jobs.map(({ id }) => id));
      pageToken = page.nextPageToken;
    } while (pageToken !== '');
    return found;
  };
  const list = (request: ListJobsRequest) => call(rpc.jobs, 'listJobs', request);
  const newest = [...ids, ...later].sort().reverse();
  t.deepEqual(await all({}), newest);
  t.deepEqual(await all({ pageSize: 7 }), newest);
  t.deepEqual(await all({ type: 'even', pageSize: 4 }), ids.filter((_, index) => index % 2 === 0).sort().reverse());
  t.deepEqual(await all({ state: JobState.SCHEDULED, pageSize: 2 }), [...later].sort().reverse());
  t.deepEqual(await all({ state: JobState.SUCCEEDED }), [held[0]!]);
  t.deepEqual(await all({ state: JobState.FAILED }), [held[1]!]);
  const waiting = await all({ state: JobState.READY, pageSize: 3 });
  const leased = await all({ state: JobState.LEASED });
  t.deepEqual([...waiting, ...leased, held[0]!, held[1]!].sort(), [...ids].sort());
  t.deepEqual(await all({ createdFrom: from, createdBefore: new Date(Date.now() + 60_000) }), newest);
  t.deepEqual(await all({ createdBefore: new Date(from.getTime() - 60_000) }), []);
  t.deepEqual(await all({ queue: 'nobody-submitted-here' }), []);

  // A page may be empty while there is a next one: other tests' jobs are looked through, too.
  let first = await list({ ...filter, pageSize: 5 });
  while (first.jobs.length === 0) {
    first = await list({ ...filter, pageSize: 5, pageToken: first.nextPageToken });
  }
  t.is(first.jobs[0]!.payload, undefined, 'lists leave payloads out');
  for (const [request, field] of [
    [{ ...filter, pageToken: first.nextPageToken, queue: 'mail' }, 'page_token'],
    [{ ...filter, pageToken: 'garbage' }, 'page_token'],
    [{ ...filter, pageToken: Buffer.from('["x",1]').toString('base64url') }, 'page_token'],
    [{ ...filter, pageSize: -1 }, 'page_size'],
    [{ ...filter, pageSize: 1_001 }, 'page_size'],
    [{ ...filter, state: 99 as JobState }, 'state'],
    [{ ...filter, queue: 'a b' }, 'queue'],
    [{ ...filter, type: 'a b' }, 'type'],
  ] as const) {
    const refusal = await refused(list(request));
    t.is(refusal.code, status.INVALID_ARGUMENT);
    t.deepEqual(refusal.violations.map((violation) => violation.field), [field]);
  }
  worker.cut();
});
