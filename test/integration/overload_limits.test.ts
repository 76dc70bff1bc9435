/** Too much is submitted: a client has its part and its rate, a queue its ceiling, and whoever stays within them is served. */
import { status } from '@grpc/grpc-js';
import anyTest from 'ava';
import { ConditionKind, QueueSettings } from '../../proto/gen/skiplease/v1/queue_service.ts';
import { QUEUES_MAX } from '../../coordinator/limits.ts';
import { JobClient, QueueClient, type SkipleaseError } from '../../worker/index.ts';
import { newJob, newJobs } from '../support/store_jobs.ts';
import { startEngine, TestWorker, type TestEngine } from '../support/store_engine.ts';
import { StoreWorld } from '../support/store_world.ts';
import { startTcpProxy } from '../support/tcp_proxy.ts';
import { testWhen } from '../support/skip.ts';
import { waitFor } from '../support/wait.ts';
import { call, jobSpec, refusalOfStatus, refused, startRpc } from '../support/rpc_clients.ts';

const test = anyTest.serial;
const DEADLINE_MS = 10_000;

let world: StoreWorld;
let one: TestEngine;
let two: TestEngine;
let queues = 0;

anyTest.before(async () => {
  world = await StoreWorld.open();
  const clientLimits = { waitingJobsMax: 25_000, jobsPerSecond: 0 };
  [one, two] = await Promise.all([startEngine(world.url, { clientLimits }), startEngine(world.url, { clientLimits })]);
});

anyTest.after.always(async () => {
  await Promise.all([one?.stop(), two?.stop()]);
  await world?.close();
});

const refusedWith = (reason: string) => (error: SkipleaseError & { reason: string }) => error.reason === reason;
const waiting = (queueId: number) => world.count('ready', 'queue_id = $1', [queueId]);

/** A queue with a ceiling, which both coordinators know. */
async function queueWith(waitingMax: number | null): Promise<{ queue: string; queueId: number }> {
  queues += 1;
  const queue = `ceiling-${queues}`;
  const { id } = await one.engine.queue(queue);
  await two.engine.queue(queue);
  await setCeiling(id, queue, waitingMax);
  return { queue, queueId: id };
}

async function setCeiling(queueId: number, queue: string, waitingMax: number | null): Promise<void> {
  await world.rows('update skiplease.queue set waiting_max = $2 where id = $1', [queueId, waitingMax]);
  one.engine.queuesChanged([queueId]);
  await waitFor(async () => (await Promise.all([one, two].map(({ engine }) => engine.queue(queue)))).every((known) => known.waitingMax === waitingMax),
    { deadlineMs: DEADLINE_MS, what: 'both coordinators to know' });
}

test('a client that floods does not keep another waiting: its submit is in the next commit', async (t) => {
  const { queue } = await queueWith(null);
  let answered = 0;
  const flood = Array.from({ length: 25 }, () => one.engine.submit(newJobs(1_000, { queue }), 'flood').finally(() => (answered += 1)));
  await waitFor(() => answered > 0, { deadlineMs: DEADLINE_MS, what: 'the flood to be under way' });
  const before = answered;
  await one.engine.submit([newJob({ queue })], 'other');
  t.true(answered - before <= 10, `${answered - before} chunks of the flood came first`);
  await Promise.allSettled(flood);
});

test('a client that has its part waiting is turned away, another is not', async (t) => {
  const { queue } = await queueWith(null);
  const flood = Array.from({ length: 3 }, () => one.engine.submit(newJobs(9_000, { queue }), 'flood'));
  const error = await t.throwsAsync(one.engine.submit([newJob({ queue })], 'flood'));
  t.true(refusedWith('CLIENT_SUBMITS_WAITING')(error as never));
  await t.notThrowsAsync(one.engine.submit([newJob({ queue })], 'other'));
  await Promise.allSettled(flood);
  await t.notThrowsAsync(one.engine.submit([newJob({ queue })], 'flood'));
});

test('jobs with options still come after the plain ones of their client', async (t) => {
  const { queue, queueId } = await queueWith(null);
  const first = newJob({ queue });
  const many = Array.from({ length: 6 }, () => one.engine.submit(newJobs(1_000, { queue }), 'one'));
  const plain = one.engine.submit([first], 'one');
  const after = newJob({ queue, options: { after: [first.id] } });
  await t.notThrowsAsync(one.engine.submit([after], 'one'));
  await Promise.all([...many, plain]);
  t.is(await world.count('blocked', 'queue_id = $1', [queueId]), 1);
});

test('a full queue turns submits away on every coordinator, and takes more once workers have taken some', async (t) => {
  const { queue, queueId } = await queueWith(50);
  const submits = await Promise.allSettled(Array.from({ length: 200 }, (_, index) => (index % 2 === 0 ? one : two).engine.submit([newJob({ queue })])));
  const accepted = submits.filter((result) => result.status === 'fulfilled').length;
  t.is(await waiting(queueId), accepted);
  t.true(accepted >= 50 && accepted <= 100, `${accepted} accepted`);
  t.true(submits.every((result) => result.status === 'fulfilled' || refusedWith('QUEUE_FULL')(result.reason as never)));
  for (const { engine } of [one, two]) {
    await waitFor(() => engine.submit([newJob({ queue })]).then(() => false, refusedWith('QUEUE_FULL')), { deadlineMs: DEADLINE_MS, what: 'the queue to be full' });
  }
  const before = await waiting(queueId);
  const worker = new TestWorker(one.engine);
  await worker.hello({ queues: [queue], jobs: before - 20 });
  await worker.gets(before - 20);
  await waitFor(() => two.engine.submit([newJob({ queue })]).then(() => true, () => false), { deadlineMs: DEADLINE_MS, what: 'room' });
  worker.leave();
});

test('one coordinator alone fills a queue to its ceiling exactly, and another queue beside it is not held up', async (t) => {
  const { queue, queueId } = await queueWith(30);
  const free = await queueWith(null);
  for (let count = 0; count < 30; count += 1) await one.engine.submit([newJob({ queue })]);
  await t.throwsAsync(one.engine.submit([newJob({ queue })]));
  const both = await t.throwsAsync(one.engine.submit([newJob({ queue: free.queue }), newJob({ queue })]));
  t.true(refusedWith('QUEUE_FULL')(both as never));
  t.deepEqual([await waiting(queueId), await waiting(free.queueId)], [30, 0]);
  await t.notThrowsAsync(one.engine.submit([newJob({ queue: free.queue })]));
  await setCeiling(queueId, queue, null);
  await t.notThrowsAsync(one.engine.submit(newJobs(100, { queue })));
});

test('what was accepted comes back whatever waits: a ceiling turns only submits away', async (t) => {
  const { queue, queueId } = await queueWith(null);
  await one.engine.submit(newJobs(20, { queue }));
  const worker = new TestWorker(one.engine);
  await worker.hello({ queues: [queue], jobs: 20 });
  await worker.gets(20);
  await one.engine.submit(newJobs(5, { queue }));
  await setCeiling(queueId, queue, 5);
  worker.leave();
  await waitFor(async () => (await waiting(queueId)) === 25, { deadlineMs: DEADLINE_MS, what: 'all jobs to be back' });
  t.pass();
});

test('a queue too many is refused, and nothing else', async (t) => {
  const { queue } = await queueWith(null);
  await world.rows(`alter table skiplease.queue alter column id restart with ${QUEUES_MAX}`);
  await one.engine.queue('the-last-one');
  const error = await t.throwsAsync(one.engine.submit([newJob({ queue: 'one-too-many' })]));
  t.true(refusedWith('TOO_MANY_QUEUES')(error as never));
  await t.notThrowsAsync(one.engine.submit([newJob({ queue })]));
});

test('over gRPC: the reason, when to come again, and a client that does', async (t) => {
  const rpc = await startRpc({ SKIPLEASE_CLIENT_JOBS_PER_SECOND: '100' });
  t.teardown(() => rpc.stop());
  await rpc.submit(...Array.from({ length: 250 }, () => jobSpec({ queue: 'rated' })));
  const startedMs = performance.now();
  const refusal = await refused(call(rpc.jobs, 'submitJob', { job: jobSpec({ queue: 'rated' }) }));
  t.like(refusal, { code: status.RESOURCE_EXHAUSTED, reason: 'CLIENT_TOO_FAST', domain: 'skiplease' });
  t.true(refusal.retryDelayMs! > 0 && refusal.retryDelayMs! <= 1_600, `${refusal.retryDelayMs} ms`);

  const unreadable = await refused(new Promise((resolve, reject) => {
    const path = '/skiplease.v1.JobService/SubmitJobs';
    rpc.jobs.makeUnaryRequest(path, (bytes: Buffer) => bytes, (bytes) => bytes, Buffer.from([0xff]), (error, response) => (error === null ? resolve(response) : reject(error)));
  }));
  t.is(unreadable.reason, 'CLIENT_TOO_FAST', 'what is turned away is not even read');

  const stream = rpc.jobs.streamSubmitJobs();
  stream.on('error', () => {});
  stream.write({ chunk: 1, jobs: [jobSpec({ queue: 'rated' })] });
  const chunk = await new Promise<{ error: Parameters<typeof refusalOfStatus>[0] }>((resolve) => {
    stream.once('data', resolve);
  });
  t.like(refusalOfStatus(chunk.error), { code: status.RESOURCE_EXHAUSTED, reason: 'CLIENT_TOO_FAST' });
  stream.cancel();

  const client = new JobClient({ addresses: [rpc.coordinator.grpcAddress] });
  t.is((await client.submitMany([{ queue: 'rated', type: 'send' }])).length, 1);
  t.true(performance.now() - startedMs >= refusal.retryDelayMs!, 'it waited for as long as it was asked to');
  t.false((await client.submit({ queue: 'rated', type: 'send' })).existing);
  client.close();
  const metrics = await (await fetch(`http://${rpc.coordinator.httpAddress}/metrics`)).text();
  t.regex(metrics, /skiplease_refused_submits_total\{reason="CLIENT_TOO_FAST"\} [1-9]/);
});

test('over gRPC: a ceiling is set, shown, met, told as a condition, and lifted', async (t) => {
  const rpc = await startRpc();
  t.teardown(() => rpc.stop());
  const client = new QueueClient({ addresses: [rpc.coordinator.grpcAddress] });
  t.teardown(() => client.close());
  const wrong = await refused(call(rpc.queues, 'updateQueue', { queue: 'small', settings: QueueSettings.create({ waitingMax: -1 }) }));
  t.deepEqual(wrong.violations.map(({ field }) => field), ['settings.waiting_max']);
  t.is((await client.update('small', { waitingMax: 3 })).settings.waitingMax, 3);
  t.is((await client.update('small', { leaseJobsMax: 10 })).settings.waitingMax, 3, 'it stays');
  await rpc.submit(jobSpec({ queue: 'small' }), jobSpec({ queue: 'small' }), jobSpec({ queue: 'small' }));
  const refusal = await refused(call(rpc.jobs, 'submitJobs', { jobs: [jobSpec({ queue: 'small' })] }));
  t.like(refusal, { code: status.RESOURCE_EXHAUSTED, reason: 'QUEUE_FULL' });
  t.true(refusal.retryDelayMs! > 0);
  t.deepEqual((await call(rpc.queues, 'getQueue', { queue: 'small' })).queue!.conditions.map(({ kind }) => kind), [ConditionKind.NO_WORKER, ConditionKind.FULL]);
  t.is((await client.update('small', { waitingMax: 0 })).settings.waitingMax, undefined);
  await waitFor(() => rpc.submit(jobSpec({ queue: 'small' })).then(() => true, () => false), { deadlineMs: DEADLINE_MS, what: 'submits to be taken' });
});

testWhen(process.platform === 'linux', 'it has no other loopback addresses')('over gRPC: hosts are clients apart', async (t) => {
  const rpc = await startRpc({ SKIPLEASE_CLIENT_JOBS_PER_SECOND: '10' });
  t.teardown(() => rpc.stop());
  const proxy = await startTcpProxy(rpc.coordinator.grpcAddress, { localAddress: '127.0.0.2' });
  t.teardown(() => proxy.close());
  const other = new JobClient({ addresses: [proxy.address], triesMax: 1 });
  t.teardown(() => other.close());
  await rpc.submit(...Array.from({ length: 100 }, () => jobSpec()));
  t.is((await refused(call(rpc.jobs, 'submitJob', { job: jobSpec() }))).reason, 'CLIENT_TOO_FAST');
  await t.notThrowsAsync(other.submitMany([{ queue: 'mail', type: 'send' }]));
});
