/** What a worker is given: within its window, always, by jobs and by bytes, over all its queues. */
import test from 'ava';
import type { Lease } from '../../proto/gen/skiplease/v1/worker_service.ts';
import { succeeded, type LeaseClient } from '../support/lease_client.ts';
import { startWorld, type World } from '../support/lease_world.ts';
import { waitFor } from '../support/wait.ts';

const LEASE_TTL_MS = 2_000;
const DEADLINE_MS = 30_000;
/** What a job weighs beside its payload and headers: bytes (skiplease.job_bytes). */
const JOB_OVERHEAD_BYTES = 384;

let world: World;

test.before(async () => {
  world = await startWorld({ leaseTtlMs: LEASE_TTL_MS });
});

test.after.always(() => world?.end());

/** What a worker holds at most while it works through all that comes, each job reported by itself. */
interface Held {
  jobs: number;
  bytes: number;
  byQueue: Map<string, number>;
  largestLease: number;
}

/** Reports every job of every lease, in an order of its own, and keeps account of what it holds: leased and without receipt. */
function workOff(stream: LeaseClient): { most: Held; done: () => number; measureAnew: () => void } {
  const held = new Map<string, { bytes: number; queue: string }>();
  const most: Held = { jobs: 0, bytes: 0, byQueue: new Map(), largestLease: 0 };
  let done = 0;
  const take = ({ token, queue, jobs }: Lease): void => {
    for (const { id, payload } of jobs) held.set(id, { bytes: JOB_OVERHEAD_BYTES + payload.length, queue });
    most.jobs = Math.max(most.jobs, held.size);
    most.bytes = Math.max(most.bytes, [...held.values()].reduce((sum, { bytes }) => sum + bytes, 0));
    const ofQueue = [...held.values()].filter((job) => job.queue === queue).length;
    most.byQueue.set(queue, Math.max(most.byQueue.get(queue) ?? 0, ofQueue));
    most.largestLease = Math.max(most.largestLease, jobs.length);
    for (const { id } of jobs.toReversed()) {
      setImmediate(() => stream.send({ $case: 'report', value: { token, outcomes: [succeeded(id)] } }));
    }
  };
  stream.listen((message) => {
    if (message.$case === 'lease') take(message.value);
    if (message.$case === 'receipt') {
      for (const { jobId, status } of message.value.jobs) {
        if (status === 1 && held.delete(jobId)) done += 1;
      }
    }
  });
  const measureAnew = (): void => {
    Object.assign(most, { jobs: 0, bytes: 0, byQueue: new Map(), largestLease: 0 });
  };
  return { most, done: () => done, measureAnew };
}

test('a worker says hello, is welcomed with the times and limits that hold, and is listed', async (t) => {
  const stream = await world.worker({ queues: ['greeting', { queue: 'greeting.capped', jobsMax: 3 }], jobs: 17, workerId: 'greeter', heartbeats: false });
  const [worker] = await world.members[0]!.operator.workers('greeting');
  t.like(worker, {
    workerId: 'greeter', instanceId: stream.instanceId, coordinatorId: world.members[0]!.coordinatorId,
    queues: ['greeting', 'greeting.capped'], windowJobs: 17, leases: 0, jobs: 0, sdk: 'test', sdkVersion: '1',
  });
  const { sequence, validFor } = await stream.heartbeat();
  t.is(sequence, 1);
  const validMs = validFor!.seconds * 1_000 + validFor!.nanos / 1e6;
  t.true(validMs > 0 && validMs <= LEASE_TTL_MS, `valid for ${validMs} ms`);
  t.is((await stream.heartbeat()).sequence, 2);
  t.is((await stream.leave()).code, 0);
  await waitFor(async () => (await world.members[0]!.operator.workers('greeting')).length === 0, { deadlineMs: DEADLINE_MS, what: 'a session that has left to be off the list' });
});

test('1,000 jobs wait, and a window of 7 is never exceeded', async (t) => {
  const queue = 'window.jobs';
  const waiting = await world.submit(queue, 500);
  const stream = await world.worker({ queues: [queue], jobs: 0 });
  const work = workOff(stream);
  stream.window(7);
  // Half of them wait before it, half come while it works: through the claim and through the hand-off.
  const coming: string[] = [];
  for (let round = 0; round < 50; round += 1) coming.push(...(await world.submit(queue, 10)));
  const ended = await world.records.untilEnded([...waiting, ...coming]);
  t.is(ended.length, 1_000);
  t.true(ended.every(({ state, attempt }) => state === 'SUCCEEDED' && attempt === 1));
  await waitFor(() => work.done() === 1_000, { deadlineMs: DEADLINE_MS, what: '1,000 receipts' });
  t.is(work.most.jobs, 7, 'never more than the window, and all of it used');
  await stream.leave();
});

test('a window of bytes is never exceeded, and a job that alone is larger comes alone', async (t) => {
  const queue = 'window.bytes';
  const small = await world.submit(queue, 40, { payload: new Uint8Array(616) });
  const large = await world.submit(queue, 1, { payload: new Uint8Array(20_000) });
  const after = await world.submit(queue, 9, { payload: new Uint8Array(616) });
  const stream = await world.worker({ queues: [queue], jobs: 0 });
  const work = workOff(stream);
  let largeHeldWith = 0;
  stream.listen((message) => {
    if (message.$case === 'lease' && message.value.jobs.some(({ id }) => id === large[0])) largeHeldWith = message.value.jobs.length;
  });
  stream.window(100, { bytes: 5_000 });
  t.is((await world.records.untilEnded([...small, ...large, ...after])).length, 50);
  t.is(largeHeldWith, 1);
  t.is(work.most.bytes, JOB_OVERHEAD_BYTES + 20_000, 'the large one came when nothing else was held');

  // The small ones alone: five of 1,000 bytes fill it, also when what jobs weigh here is known, and limits what is asked for.
  stream.window(0);
  await stream.heartbeat();
  work.measureAnew();
  const more = await world.submit(queue, 30, { payload: new Uint8Array(616) });
  stream.window(100, { bytes: 5_000 });
  t.is((await world.records.untilEnded(more)).length, 30);
  t.true(work.most.bytes <= 5_000 && work.most.jobs > 1, `${work.most.jobs} jobs of ${work.most.bytes} bytes at once`);
  await stream.leave();
});

test('a cap holds for its queue and leaves the rest of the window to the others', async (t) => {
  const jobIds = [...(await world.submit('cap.two', 60)), ...(await world.submit('cap.none', 60))];
  const stream = await world.worker({ queues: [{ queue: 'cap.two', jobsMax: 2 }, 'cap.none'], jobs: 0 });
  const work = workOff(stream);
  stream.window(10);
  t.is((await world.records.untilEnded(jobIds)).length, 120);
  t.is(work.most.byQueue.get('cap.two'), 2);
  t.true(work.most.byQueue.get('cap.none')! >= 8, `${work.most.byQueue.get('cap.none')} at once`);
  t.is(work.most.jobs, 10);

  stream.window(10, { queues: [{ queue: 'cap.two', jobsMax: 5 }] });
  work.measureAnew();
  await world.records.untilEnded(await world.submit('cap.two', 40));
  t.is(work.most.byQueue.get('cap.two'), 5);
  await stream.leave();
});

test('a lease carries no more jobs than its queue allows', async (t) => {
  const queue = 'lease.size';
  await world.members[0]!.operator.update(queue, { leaseJobsMax: 7 });
  const waiting = await world.submit(queue, 30);
  const stream = await world.worker({ queues: [queue], jobs: 0 });
  const work = workOff(stream);
  stream.window(100);
  await world.records.untilEnded(waiting);
  t.is(work.most.largestLease, 7);
  // Handed off: the queue is dry and the window open.
  await world.records.untilEnded(await world.submit(queue, 30));
  t.is(work.most.largestLease, 7);

  await world.members[0]!.operator.update(queue, { leaseJobsMax: 12 });
  await world.records.untilEnded(await world.submit(queue, 30));
  t.is(work.most.largestLease, 12);
  await stream.leave();
});

test('a window of 0 drains: what is held stays, nothing comes', async (t) => {
  const stream = await world.worker({ queues: ['drained', 'fence'], jobs: 3 });
  const first = await world.submit('drained', 5);
  const lease = await stream.next('lease');
  stream.window(0);
  // Its answer says that the window was read before.
  await stream.heartbeat();
  t.is((await stream.report(lease.token, lease.jobs.map(({ id }) => succeeded(id)))).jobs.filter(({ status }) => status === 1).length, lease.jobs.length);
  // Another worker is served after the room was made: the dispatcher has been round.
  const other = await world.worker({ queues: ['fence'], jobs: 1 });
  await world.submit('fence', 1);
  await other.next('lease');
  await stream.heartbeat();
  t.is(stream.taken('lease'), undefined);
  t.is((await world.records.ready(first)).length, 5 - lease.jobs.length);
  stream.window(1);
  t.is((await stream.next('lease')).jobs.length, 1);
  await Promise.all([stream.leave(), other.leave()]);
});

test('a worker that never reads is let go with RESOURCE_EXHAUSTED, and its jobs come back', async (t) => {
  const queue = 'never.read';
  // Many messages: the first few stay in the buffers of gRPC and TCP, on both sides.
  await world.members[0]!.operator.update(queue, { leaseJobsMax: 1 });
  const deaf = await world.worker({ queues: [queue], jobs: 100 });
  deaf.call.pause();
  const jobIds = await world.submit(queue, 80, { payload: new Uint8Array(100_000) });
  await waitFor(
    async () => (await world.members[0]!.operator.leases({ queue })).length > 0,
    { deadlineMs: DEADLINE_MS, what: 'a lease for the worker that does not read' },
  );
  const good = await world.worker({ queues: [queue], jobs: 100 });
  workOff(good);
  const ended = await world.records.untilEnded(jobIds);
  t.is(ended.length, 80);
  t.true(ended.every(({ state, attempt }) => state === 'SUCCEEDED' && attempt <= 2));
  // Only once it reads does it learn why: the end stands behind what it had not read.
  deaf.call.resume();
  const { code, details } = await deaf.status();
  t.is(code, 8, details);
  t.is((await world.members[0]!.operator.workers(queue)).length, 1);
  await good.leave();
});

test('a worker that reads slowly is not let go: what it was leased takes longer than the time to live', async (t) => {
  const queue = 'slow.read';
  await world.members[0]!.operator.update(queue, { leaseJobsMax: 1 });
  const slow = await world.breakableWorker({ queues: [queue], jobs: 100 });
  slow.slowDown(1_500_000);
  workOff(slow);
  const startedMs = performance.now();
  const ended = await world.records.untilEnded(await world.submit(queue, 60, { payload: new Uint8Array(100_000) }));
  t.true(performance.now() - startedMs > LEASE_TTL_MS);
  t.true(ended.every(({ state, attempt }) => state === 'SUCCEEDED' && attempt === 1));
  await slow.leave();
});
