/** Paused queues give nothing, whatever a coordinator remembers of them; a hand-off overtakes nobody; priorities and turns. */
import anyTest from 'ava';
import type { NewJob } from '../../coordinator/types.ts';
import { newJob, newJobs } from '../support/store_jobs.ts';
import { startEngine, TestWorker, type TestEngine } from '../support/store_engine.ts';
import { StoreWorld } from '../support/store_world.ts';
import { waitFor } from '../support/wait.ts';

const test = anyTest.serial;

let world: StoreWorld;
let one: TestEngine;
let queues = 0;

anyTest.before(async () => {
  world = await StoreWorld.open();
  one = await startEngine(world.url, { leaseTtlMs: 30_000, tickMs: 200 });
});

anyTest.after.always(async () => {
  await one?.stop();
  await world?.close();
});

/** A queue whose settings the coordinator remembers. */
async function newQueue(): Promise<{ queue: string; queueId: number }> {
  queues += 1;
  const { id } = await one.engine.queue(`q${queues}`);
  return { queue: `q${queues}`, queueId: id };
}

/** As another coordinator pauses or resumes, before its word has come here. */
const pause = (queueId: number, paused: boolean) => world.rows('update skiplease.queue set paused = $2 where id = $1', [queueId, paused]);
const runs = (statement: string) => one.statements.filter((name) => name === statement).length;

/** A job that another coordinator has made ready; no word of it has come here. */
async function readyElsewhere(queueId: number, job: NewJob): Promise<void> {
  const other = world.coordinator();
  await world.submit(other, queueId, [job]);
}

test('a claim takes nothing from a queue that is paused, though the coordinator does not know yet', async (t) => {
  const { queue, queueId } = await newQueue();
  const jobs = newJobs(3, { queue });
  await one.engine.submit(jobs);
  await pause(queueId, true);
  t.false((await one.engine.queue(queue)).paused, 'as it remembers');
  const worker = new TestWorker(one.engine);
  const before = runs('claim');
  await worker.hello({ queues: [queue] });
  await waitFor(() => runs('claim') > before, { deadlineMs: 2_000, what: 'a claim' });
  t.is(await world.count('ready', 'queue_id = $1', [queueId]), 3);
  await pause(queueId, false);
  one.engine.queuesChanged([queueId]);
  await worker.gets(3);
  worker.leave();
});

test('a hand-off leases nothing of a queue that is paused, though the coordinator does not know yet', async (t) => {
  const { queue, queueId } = await newQueue();
  const other = await newQueue();
  const worker = new TestWorker(one.engine);
  await worker.hello({ queues: [queue, other.queue] });
  await pause(queueId, true);
  const before = runs('hand_off');
  await one.engine.submit([...newJobs(2, { queue }), newJob({ queue: other.queue })]);
  t.is(runs('hand_off'), before + 1);
  await worker.gets(1);
  t.deepEqual(worker.leases.map((lease) => lease.queue), [other.queue], 'the other queue is not held up');
  t.is(await world.count('ready', 'queue_id = $1', [queueId]), 2);
  t.is(await world.count('lease', 'queue_id = $1', [queueId]), 0);
  await waitFor(() => worker.session.heldJobs === 1, { deadlineMs: 5_000, what: 'what is held, with nothing reserved' });
  await pause(queueId, false);
  one.engine.queuesChanged([queueId]);
  await worker.gets(3);
  worker.leave();
});

test('a queue that is known to be paused is not even asked for, and its jobs wait', async (t) => {
  const { queue, queueId } = await newQueue();
  await pause(queueId, true);
  one.engine.queuesChanged([queueId]);
  await waitFor(async () => (await one.engine.queue(queue)).paused, { deadlineMs: 2_000, what: 'the word of it' });
  const worker = new TestWorker(one.engine);
  await worker.hello({ queues: [queue] });
  const [handOffs, claims] = [runs('hand_off'), runs('claim')];
  await one.engine.submit(newJobs(2, { queue }));
  t.deepEqual([runs('hand_off'), runs('claim')], [handOffs, claims]);
  t.is(await world.count('ready', 'queue_id = $1', [queueId]), 2);
  await pause(queueId, false);
  one.engine.queuesChanged([queueId]);
  await worker.gets(2);
  worker.leave();
});

test('word of a change that was lost is made up for by the next scan', async (t) => {
  const { queue, queueId } = await newQueue();
  await pause(queueId, true);
  one.engine.queuesChanged([queueId]);
  await waitFor(async () => (await one.engine.queue(queue)).paused, { deadlineMs: 2_000, what: 'the word of it' });
  const worker = new TestWorker(one.engine);
  await worker.hello({ queues: [queue] });
  await one.engine.submit(newJobs(2, { queue }));
  await world.rows('update skiplease.queue set paused = false, max_attempts = 9 where id = $1', [queueId]);
  // Another coordinator greets: everybody looks everywhere.
  await world.rows(`select pg_notify('skiplease', '{"from":"another","all":true}')`);
  t.is((await worker.gets(2))[0]!.maxAttempts, 9);
  worker.leave();
});

for (const [who, priority, overtakes] of [['of the same priority', 3, false], ['of a higher priority', 7, false], ['of a lower priority', 1, true]] as const) {
  test(`a hand-off ${overtakes ? 'may pass' : 'waits behind'} a job ${who} that nobody here has heard of`, async (t) => {
    const { queue, queueId } = await newQueue();
    const worker = new TestWorker(one.engine);
    await worker.hello({ queues: [queue] });
    const before = newJob({ queue, priority });
    await readyElsewhere(queueId, before);
    const mine = newJob({ queue, priority: 3 });
    const handOffs = runs('hand_off');
    await one.engine.submit([mine]);
    t.is(runs('hand_off'), handOffs + 1, 'it was tried');
    const got = await worker.gets(overtakes ? 1 : 2);
    t.deepEqual(got.map(({ id }) => id), overtakes ? [mine.id] : [before.id, mine.id]);
    t.is(await world.value<number>('select count(*)::int from skiplease.lease where $1 = any(job_ids)', [mine.id]), 1);
    if (overtakes) t.is(await world.count('ready', 'job_id = $1', [before.id]), 1);
    worker.leave();
  });
}

test('a hand-off gives its jobs in their order, the higher priorities first, what is over waits in line', async (t) => {
  const { queue, queueId } = await newQueue();
  const worker = new TestWorker(one.engine);
  await worker.hello({ queues: [queue], jobs: 4 });
  const jobs = [2, 9, 2, 5, 9, 0].map((priority) => newJob({ queue, priority }));
  const handOffs = runs('hand_off');
  await one.engine.submit(jobs);
  t.is(runs('hand_off'), handOffs + 1);
  await worker.gets(4);
  t.deepEqual(worker.jobs.map(({ id }) => jobs.findIndex((job) => job.id === id)), [1, 4, 3, 0]);
  t.is(await world.count('ready', 'queue_id = $1', [queueId]), 2);
  await worker.succeed(worker.leases[0]!);
  await worker.gets(6);
  t.deepEqual(worker.jobs.slice(4).map(({ id }) => jobs.findIndex((job) => job.id === id)), [2, 5]);
  worker.leave();
});

test('within a queue the higher priority always goes first, and first come, first served within one', async (t) => {
  const { queue } = await newQueue();
  const jobs = Array.from({ length: 60 }, (_, index) => newJob({ queue, priority: [4, 0, 9, 4, 1, 9][index % 6]! }));
  for (let start = 0; start < 60; start += 20) await one.engine.submit(jobs.slice(start, start + 20));
  const worker = new TestWorker(one.engine);
  await worker.hello({ queues: [queue], jobs: 7 });
  const order: string[] = [];
  while (order.length < 60) {
    await waitFor(() => worker.leases.length > 0, { deadlineMs: 2_000, what: 'a lease' });
    const lease = worker.leases.shift()!;
    order.push(...lease.jobs.map(({ id }) => id));
    await worker.succeed(lease);
  }
  const expected = jobs.map((job, index) => ({ job, index })).toSorted((a, b) => b.job.priority - a.job.priority || a.index - b.index);
  t.deepEqual(order, expected.map(({ job }) => job.id));
  worker.leave();
});

test('several queues take turns: a long one does not keep a short one waiting', async (t) => {
  const [long, short] = [await newQueue(), await newQueue()];
  await one.engine.submit(newJobs(200, { queue: long.queue }));
  await one.engine.submit(newJobs(10, { queue: short.queue }));
  await world.rows('update skiplease.queue set lease_jobs_max = 5 where id = any($1)', [[long.queueId, short.queueId]]);
  one.engine.queuesChanged([long.queueId, short.queueId]);
  await waitFor(async () => (await one.engine.queue(short.queue)).leaseJobsMax === 5 && (await one.engine.queue(long.queue)).leaseJobsMax === 5, { deadlineMs: 2_000, what: 'the new settings' });
  const worker = new TestWorker(one.engine);
  await worker.hello({ queues: [long.queue, short.queue], jobs: 20 });
  await worker.gets(20);
  t.deepEqual(worker.leases.map((lease) => [lease.queue, lease.jobs.length]).toSorted(), [[long.queue, 5], [long.queue, 5], [short.queue, 5], [short.queue, 5]]);
  worker.leave();
});

test('workers of one queue share what there is', async (t) => {
  const { queue } = await newQueue();
  const workers = Array.from({ length: 4 }, () => new TestWorker(one.engine));
  for (const worker of workers) await worker.hello({ queues: [queue], jobs: 50 });
  const handOffs = runs('hand_off');
  await one.engine.submit(newJobs(40, { queue }));
  t.is(runs('hand_off'), handOffs + 1);
  await waitFor(() => workers.reduce((sum, worker) => sum + worker.jobs.length, 0) === 40, { deadlineMs: 2_000, what: 'all jobs at the workers' });
  t.deepEqual(workers.map((worker) => worker.jobs.length), [10, 10, 10, 10]);
  workers.forEach((worker) => worker.leave());
});

test('no worker is leased more jobs or bytes than its window, by whichever way they come', async (t) => {
  const { queue, queueId } = await newQueue();
  const worker = new TestWorker(one.engine);
  const bytes = 10_000;
  await worker.hello({ queues: [queue], jobs: 7, bytes });
  const payload = Buffer.alloc(2_000);
  let done = 0;
  const jobs = newJobs(60, { queue, payload });
  for (let start = 0; start < 60; start += 12) await one.engine.submit(jobs.slice(start, start + 12));
  while (done < 60) {
    await waitFor(() => worker.leases.length > 0, { deadlineMs: 2_000, what: 'a lease' });
    t.true(worker.session.heldJobs <= 7);
    const [held] = await world.rows<{ jobs: number; bytes: number }>(
      `select count(*)::int as jobs, coalesce(sum(skiplease.job_bytes(j.payload, j.headers)), 0)::int as bytes
         from skiplease.lease l cross join unnest(l.job_ids) with ordinality as u (id, place) join skiplease.job j on j.id = u.id
        where l.queue_id = $1 and get_bit(l.settled, u.place::int - 1) = 0`, [queueId]);
    t.true(held!.jobs <= 7 && held!.bytes <= bytes, `${held!.jobs} jobs of ${held!.bytes} bytes`);
    const lease = worker.leases.shift()!;
    done += lease.jobs.length;
    await worker.succeed(lease);
  }
  await waitFor(() => worker.session.heldJobs === 0, { deadlineMs: 5_000, what: 'what is held, with nothing reserved' });
  t.is(worker.session.heldBytes, 0);
  worker.leave();
});
