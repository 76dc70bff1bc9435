/** Unique keys on two coordinators: who gets one, who does not, and what becomes of who had it. */
import { status } from '@grpc/grpc-js';
import test from 'ava';
import pg from 'pg';
import { CancelJobsRequest } from '../../proto/gen/skiplease/v1/job_service.ts';
import type { StreamSubmitJobsResponse } from '../../proto/gen/skiplease/v1/job_service.ts';
import { JobState, UniqueConflict, UniqueScope } from '../../proto/gen/skiplease/v1/job.ts';
import type { JobSpec, UniqueKey } from '../../proto/gen/skiplease/v1/job.ts';
import { ReceiptStatus } from '../../proto/gen/skiplease/v1/worker_service.ts';
import { systemClock } from '../../coordinator/clock.ts';
import { newJobId } from '../../coordinator/rpc/ids.ts';
import { KeySweeper } from '../../coordinator/engine/key_sweeper.ts';
import { keepLog } from '../support/store_world.ts';
import { Store } from '../../coordinator/store/store.ts';
import { waitFor } from '../support/wait.ts';
import { call, jobSpec, refused, startRpc, succeeded } from '../support/rpc_clients.ts';
import type { Rpc } from '../support/rpc_clients.ts';

const { RETURN_EXISTING, REJECT, REPLACE } = UniqueConflict;
const HOUR: JobSpec['start'] = { $case: 'delay', value: { seconds: 3_600, nanos: 0 } };

let rpc: Rpc;
let second: Rpc;
let database: pg.Pool;
test.before(async () => {
  // Workers by hand send no heartbeats.
  const environment = { SKIPLEASE_LEASE_TTL_MS: '60000' };
  rpc = await startRpc(environment);
  second = await startRpc(environment, rpc.databaseUrl);
  database = new pg.Pool({ connectionString: rpc.databaseUrl, max: 3 });
});
test.after.always(async () => {
  await database?.end();
  await second?.stop();
  await rpc?.stop();
});

function keyed(queue: string, key: string, unique: Partial<UniqueKey> = {}, fields: Partial<JobSpec> = {}): JobSpec {
  return jobSpec({ queue, unique: { key, scope: UniqueScope.UNSPECIFIED, lifetime: undefined, onConflict: RETURN_EXISTING, ...unique }, ...fields });
}

const submit = (from: Rpc, job: JobSpec) => call(from.jobs, 'submitJob', { job });
const cancelled = (ids: string[]) => call(rpc.jobs, 'cancelJobs', CancelJobsRequest.create({ jobIds: ids }));

test('until its job is final a key is taken, on every coordinator', async (t) => {
  const first = await submit(rpc, keyed('until', 'k'));
  t.false(first.existing);
  t.like((await rpc.get(first.jobId)).unique, { key: 'k', scope: UniqueScope.QUEUE, onConflict: RETURN_EXISTING });
  t.deepEqual(await submit(second, keyed('until', 'k')), { jobId: first.jobId, existing: true });
  t.deepEqual(await submit(second, keyed('until-2', 'k')).then(({ existing }) => existing), false, 'of another queue');
  t.deepEqual(await submit(second, keyed('until', 'K')).then(({ existing }) => existing), false, 'another key');
  const refusal = await refused(submit(second, keyed('until', 'k', { onConflict: REJECT })));
  t.like(refusal, { code: status.ALREADY_EXISTS, reason: 'UNIQUE_KEY_TAKEN' });
  t.true(refusal.message.includes(first.jobId));

  const worker = await rpc.worker({ queues: ['until'] });
  const lease = await worker.lease();
  t.deepEqual(await submit(second, keyed('until', 'k', { onConflict: REPLACE })), { jobId: first.jobId, existing: true }, 'one that runs is not replaced');
  await worker.report(lease.token, [succeeded(first.jobId)]);
  const next = await submit(second, keyed('until', 'k', { onConflict: REJECT }));
  t.false(next.existing);
  t.not(next.jobId, first.jobId);
  worker.cut();
});

test('one that waits is replaced, wherever it waits', async (t) => {
  for (const start of [undefined, HOUR]) {
    const first = await submit(rpc, keyed('replace', 'k', {}, { start, serialKey: 's' }));
    const then = await submit(second, keyed('replace', 'k', { onConflict: REPLACE }));
    t.false(then.existing);
    const before = await rpc.get(first.jobId);
    t.is(before.state, JobState.CANCELLED);
    t.is(before.error!.message, `replaced by job ${then.jobId}`);
    t.is((await rpc.get(then.jobId)).state, JobState.READY);
    t.is((await cancelled([first.jobId, then.jobId])).jobsCancelled, 1);
  }
});

test('who waits for one that is replaced hears of it', async (t) => {
  const [first, next, blocked] = await rpc.submit(
    keyed('concerned', 'k', {}, { serialKey: 's' }), jobSpec({ queue: 'concerned', serialKey: 's' }), keyed('concerned', 'l', {}, { serialKey: 's' }));
  const [dependent] = await rpc.submit(jobSpec({ queue: 'concerned', afterJobIds: [first!] }));
  t.deepEqual(await Promise.all([next!, blocked!, dependent!].map(async (id) => (await rpc.get(id)).state)), [JobState.BLOCKED, JobState.BLOCKED, JobState.BLOCKED]);
  t.false((await submit(second, keyed('concerned', 'k', { onConflict: REPLACE }, { serialKey: 's' }))).existing);
  t.is((await rpc.get(first!)).state, JobState.CANCELLED);
  t.is((await rpc.get(next!)).state, JobState.READY, 'let in by its serial key');
  await rpc.until(dependent!, ({ state }) => state === JobState.CANCELLED, 'the dependent to be cancelled');
  t.false((await submit(rpc, keyed('concerned', 'l', { onConflict: REPLACE }))).existing);
  t.is((await rpc.get(blocked!)).state, JobState.CANCELLED, 'in the line of a key');
});

test('a key of its type alone, beside one of the queue', async (t) => {
  const scope = UniqueScope.QUEUE_AND_TYPE;
  const ids = [
    (await submit(rpc, keyed('scope', 'k', { scope }, { type: 'a' }))).jobId,
    (await submit(rpc, keyed('scope', 'k', { scope }, { type: 'b' }))).jobId,
    (await submit(rpc, keyed('scope', 'k', {}, { type: 'a' }))).jobId,
  ];
  t.is(new Set(ids).size, 3);
  t.deepEqual(await submit(second, keyed('scope', 'k', { scope }, { type: 'b' })), { jobId: ids[1]!, existing: true });
  t.deepEqual(await submit(second, keyed('scope', 'k', {}, { type: 'c' })), { jobId: ids[2]!, existing: true });
});

test('a key with a lifetime is kept for as long, also by a final job, and not a moment longer', async (t) => {
  const lifetime = { seconds: 600, nanos: 0 };
  const first = await submit(rpc, keyed('lifetime', 'k', { lifetime }));
  t.deepEqual((await rpc.get(first.jobId)).unique!.lifetime, lifetime);
  await cancelled([first.jobId]);
  t.deepEqual(await submit(second, keyed('lifetime', 'k')), { jobId: first.jobId, existing: true });
  t.deepEqual(await submit(second, keyed('lifetime', 'k', { onConflict: REPLACE })), { jobId: first.jobId, existing: true }, 'it does not wait');
  await database.query(`update skiplease.unique_key set expires_at = skiplease.now() where job_id = $1`, [first.jobId]);
  const next = await submit(second, keyed('lifetime', 'k', { lifetime }));
  t.false(next.existing);
  await database.query(`update skiplease.unique_key set expires_at = skiplease.now() where job_id = $1`, [next.jobId]);
  t.false((await submit(second, keyed('lifetime', 'k'))).existing, 'whatever its job does');
});

test('a repeated submit of one id is answered by its id, whoever has the key by now', async (t) => {
  const spec = keyed('repeat', 'k', { onConflict: REPLACE }, { id: newJobId(Date.now()) });
  t.deepEqual(await submit(rpc, spec), { jobId: spec.id, existing: false });
  t.deepEqual(await submit(second, spec), { jobId: spec.id, existing: true });
  await cancelled([spec.id]);
  const next = await submit(rpc, keyed('repeat', 'k'));
  t.deepEqual(await submit(second, spec), { jobId: spec.id, existing: true });
  t.is((await rpc.get(next.jobId)).state, JobState.READY, 'it was not replaced');
  const all = await Promise.all(Array.from({ length: 8 }, (_, index) => submit(index % 2 === 0 ? rpc : second, { ...spec, queue: 'repeat-2' })).map((promise) => promise.catch(() => undefined)));
  t.deepEqual(all, all.map(() => undefined), 'the id is of another queue');
});

test('jobs of one request have their keys in its order', async (t) => {
  const plain = jobSpec({ queue: 'order' });
  const { jobIds, existingJobIds } = await call(rpc.jobs, 'submitJobs', { jobs: [
    keyed('order', 'a'), plain, keyed('order', 'a'), keyed('order', 'a', { onConflict: REPLACE }), keyed('order', 'b'),
  ] });
  t.is(jobIds[2], jobIds[0]);
  t.deepEqual(existingJobIds, [jobIds[0]!]);
  t.is(new Set(jobIds).size, 4);
  t.deepEqual(await Promise.all(jobIds.map(async (id) => (await rpc.get(id)).state)),
    [JobState.CANCELLED, JobState.READY, JobState.CANCELLED, JobState.READY, JobState.READY]);
  const refusal = await refused(call(rpc.jobs, 'submitJobs', { jobs: [keyed('order', 'c'), keyed('order', 'b', { onConflict: REJECT })] }));
  t.is(refusal.reason, 'UNIQUE_KEY_TAKEN');
  t.false((await submit(second, keyed('order', 'c'))).existing, 'all of them or none');
});

test('in a flood the answer names the jobs that have the keys', async (t) => {
  const { jobId } = await submit(rpc, keyed('flood', 'k'));
  const spec = keyed('flood', 'k', {}, { id: newJobId(Date.now()) });
  const stream = second.jobs.streamSubmitJobs();
  const answers: StreamSubmitJobsResponse[] = [];
  stream.on('data', (answer: StreamSubmitJobsResponse) => answers.push(answer));
  stream.write({ chunk: 1, jobs: [spec] });
  stream.write({ chunk: 2, jobs: [{ ...spec, id: newJobId(Date.now()), unique: { ...spec.unique!, key: 'free' } }] });
  stream.end();
  await waitFor(() => answers.length === 2, { deadlineMs: 10_000, what: 'both answers' });
  t.like(answers[0], { chunk: 1, jobIds: [jobId], existingJobIds: [jobId] });
  t.like(answers[1], { chunk: 2, jobIds: [], existingJobIds: [] });
});

test('a follow-up whose key is taken does not come in; one that rejects that is refused with its success', async (t) => {
  const held = await submit(rpc, keyed('follow-up', 'k'));
  const [parent] = await rpc.submit(jobSpec({ queue: 'parents' }));
  const worker = await second.worker({ queues: ['parents'], jobs: 1 });
  const lease = await worker.lease();
  const report = (onConflict: UniqueConflict) => worker.report(lease.token, [{ ...succeeded(parent!), followUps: [keyed('follow-up', 'k', { onConflict })] }]);
  const invalid = await report(REJECT);
  t.is(invalid.jobs[0]!.status, ReceiptStatus.INVALID);
  t.true(invalid.jobs[0]!.message.includes(held.jobId));
  t.is((await report(RETURN_EXISTING)).jobs[0]!.status, ReceiptStatus.ACCEPTED);
  const { rows } = await database.query(`select 1 from skiplease.job j join skiplease.queue q on q.id = j.queue_id where q.name = 'follow-up'`);
  t.is(rows.length, 1);
  worker.cut();
});

test('a key that an application\'s transaction holds makes its own submitters wait, and no others', async (t) => {
  await submit(rpc, keyed('held', 'k'));
  const client = await database.connect();
  await client.query('begin');
  await client.query(`select from skiplease.unique_key where key = 'k' and queue_id = (select id from skiplease.queue where name = 'held') for update`);
  const [blocked, ...others] = await Promise.allSettled([
    submit(rpc, keyed('held', 'k')), ...Array.from({ length: 10 }, (_, index) => submit(rpc, keyed('held', `other ${index}`))),
  ]);
  t.is(blocked.status, 'rejected');
  t.deepEqual(others.map((answer) => answer.status), others.map(() => 'fulfilled'));
  await client.query('rollback');
  client.release();
  t.true((await submit(rpc, keyed('held', 'k'))).existing);
});

test('a coordinator that is killed in the middle of submits leaves no key taken twice, and none stuck', async (t) => {
  const keys = ['a', 'b', 'c'];
  await Promise.all(keys.map((key) => submit(rpc, keyed('killed', key))));
  const third = await startRpc({}, rpc.databaseUrl);
  const replacing = (from: Rpc) => Array.from({ length: 60 }, (_, index) => submit(from, keyed('killed', keys[index % 3]!, { onConflict: REPLACE })));
  const answers = replacing(third).map((answer) => answer.then(() => true, () => false));
  await Promise.race(answers);
  third.coordinator.kill('SIGKILL');
  await Promise.all(replacing(second));
  await Promise.all(answers);
  const { rows } = await database.query<{ key: string; waiting: string }>(`
    select j.options #>> '{unique,key}' as key, count(*) as waiting from skiplease.job j join skiplease.queue q on q.id = j.queue_id
     where q.name = 'killed' and not exists (select from skiplease.outcome where job_id = j.id) group by 1 order by 1`);
  t.deepEqual(rows, keys.map((key) => ({ key, waiting: '1' })));
  await third.stop();
});

test('keys that are free again are swept, and those that are taken stay', async (t) => {
  const taken = await rpc.submit(...Array.from({ length: 30 }, (_, index) => keyed('sweep', `taken ${index}`)));
  const free = await rpc.submit(...Array.from({ length: 2_500 }, (_, index) => keyed('sweep', `free ${index}`)));
  const kept = await submit(rpc, keyed('sweep', 'kept', { lifetime: { seconds: 600, nanos: 0 } }));
  for (let first = 0; first < free.length; first += 1_000) {
    await cancelled(free.slice(first, first + 1_000));
  }
  await cancelled([kept.jobId]);
  const store = new Store(rpc.databaseUrl, keepLog(), () => {});
  const sweeper = new KeySweeper({ store, clock: systemClock });
  const left = async () => (await database.query<{ id: string }>(
    `select job_id as id from skiplease.unique_key where queue_id = (select id from skiplease.queue where name = 'sweep') order by 1`)).rows.map(({ id }) => id);
  await waitFor(async () => {
    await sweeper.round();
    return (await left()).length === taken.length + 1;
  }, { deadlineMs: 10_000, what: 'the free keys to go' });
  t.deepEqual(await left(), [...taken, kept.jobId].sort());
  await store.close();
});
