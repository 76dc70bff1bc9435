/** Limits of keys and of queues on two coordinators: exact, effective at once when they change, and derived from what is stored. */
import anyTest from 'ava';
import type { Limit } from '../../coordinator/types.ts';
import { changeQueue } from '../../coordinator/store/queues.ts';
import { GatesWorld, mostAtOnce, mostOverRate } from '../support/gates_world.ts';
import { failed, TestWorker } from '../support/store_engine.ts';
import { newJob } from '../support/store_jobs.ts';
import { waitFor } from '../support/wait.ts';

const test = anyTest.serial;
/** Longer than any hint takes: what has not started by then does not. A full queue is asked again every 500 ms. */
const QUIET_MS = 600;

let world: GatesWorld;
test.before(async () => {
  world = await GatesWorld.open();
});
test.after.always(() => world?.close());

const runningMax = (max: number): Limit => ({ runningMax: max, rate: null });

async function submit(queue: string, count: number, limitKey: string | null = null): Promise<string[]> {
  const jobs = Array.from({ length: count }, () => newJob({ queue, options: limitKey === null ? null : { limitKey } }));
  await world.engines[0]!.engine.submit(jobs);
  return jobs.map(({ id }) => id);
}

async function workers(queue: string): Promise<TestWorker[]> {
  return Promise.all(world.engines.map(async ({ engine }) => {
    const worker = new TestWorker(engine);
    await worker.hello({ queues: [queue], jobs: 50 });
    return worker;
  }));
}

const held = (queueId: number) => world.store.value<number>(
  'select coalesce(sum(length(settled) - bit_count(settled)), 0)::int from skiplease.lease where queue_id = $1', [queueId]);

/** Waits until so many run, and sees that no more start. */
async function run(queueId: number, count: number): Promise<void> {
  await waitFor(async () => (await held(queueId)) >= count, { deadlineMs: 5_000, what: `${count} to run` });
  const until = performance.now() + QUIET_MS;
  await waitFor(async () => {
    const now = await held(queueId);
    if (now !== count) throw new Error(`${now} run instead of ${count}.`);
    return performance.now() > until;
  }, { deadlineMs: 2 * QUIET_MS, what: 'nothing more to start' });
}

/** Ends so many of what the workers hold. */
async function end(at: TestWorker[], count: number): Promise<void> {
  for (let left = count; left > 0; left -= 1) {
    const worker = at.find(({ leases }) => leases.length > 0)!;
    const lease = worker.leases[0]!;
    const job = lease.jobs.shift()!;
    if (lease.jobs.length === 0) worker.leases.shift();
    await worker.succeed({ token: lease.token, jobs: [job] });
  }
}

/** Ends everything, as it comes. */
async function drain(at: TestWorker[], ids: string[]): Promise<void> {
  await waitFor(async () => {
    await Promise.all(at.flatMap((worker) => worker.leases.splice(0).map((lease) => worker.succeed(lease))));
    return (await world.store.count('outcome', 'job_id = any($1)', [ids])) === ids.length;
  }, { deadlineMs: 10_000, what: 'all to end' });
  at.forEach((worker) => worker.leave());
}

for (const [what, key, limitOf] of [
  ['a key', 'k', (limit: Limit | null) => ({ keyLimit: limit })],
  ['a queue', null, (limit: Limit | null) => ({ limit })],
] as const) {
  test(`so many of ${what} run at once, raised, lowered and lifted at either coordinator`, async (t) => {
    const queue = `running of ${what}`;
    const queueId = await world.set(queue, limitOf(runningMax(2)));
    const ids = await submit(queue, 20, key);
    const at = await workers(queue);
    await run(queueId, 2);
    await end(at, 1);
    await run(queueId, 2);
    await world.set(queue, limitOf(runningMax(4)), world.engines[1]);
    await run(queueId, 4);
    await world.set(queue, limitOf(runningMax(1)));
    await run(queueId, 4);
    await end(at, 3);
    await run(queueId, 1);
    await end(at, 1);
    await run(queueId, 1);
    await world.set(queue, limitOf(null), world.engines[1]);
    await waitFor(async () => (await held(queueId)) === 15, { deadlineMs: 5_000, what: 'all that are left to run' });
    await drain(at, ids);
    t.is(mostAtOnce(await world.ran(queueId)), 15);
    t.deepEqual(await world.leftovers(queueId), []);
  });

  test(`what ran and what was ready when ${what} was given its limit counts`, async (t) => {
    const queue = `late limit of ${what}`;
    const ids = await submit(queue, 3, key);
    const at = await workers(queue);
    const queueId = await world.store.queue(queue);
    await waitFor(async () => (await held(queueId)) === 3, { deadlineMs: 5_000, what: 'three to run' });
    at.forEach((worker) => {
      worker.session.window = { jobs: 3, bytes: 1 << 20 };
    });
    await world.set(queue, limitOf(runningMax(4)));
    at.forEach((worker) => {
      worker.session.window = { jobs: 50, bytes: 1 << 26 };
    });
    const more = await submit(queue, 6, key);
    await run(queueId, 4);
    await drain(at, [...ids, ...more]);
    t.is(mostAtOnce(await world.ran(queueId)), 4);
  });

  test(`${what} starts no faster than its tokens come, on both coordinators, also what stood ready before`, async (t) => {
    const rate = { starts: 10, periodMs: 200, burst: 4 };
    const queue = `rate of ${what}`;
    const ids = await submit(queue, 12, key);
    const queueId = await world.set(queue, limitOf({ runningMax: null, rate }));
    ids.push(...await submit(queue, 12, key));
    const started = performance.now();
    await drain(await workers(queue), ids);
    const ran = await world.ran(queueId);
    t.true(mostOverRate(ran, rate) < 0.001, `${mostOverRate(ran, rate)} too many`);
    t.true(performance.now() - started >= 390, '20 of them wait for a token, which takes 20 ms');
    await world.set(queue, limitOf(null));
    await waitFor(async () => (await world.leftovers(queueId)).length === 0, { deadlineMs: 3_000, what: 'nothing to be left' });
  });
}

test('who backs off makes room, and what a lowered limit finds ready goes back in line', async (t) => {
  const queue = 'room';
  const queueId = await world.set(queue, { keyLimit: runningMax(4) });
  const ids = await submit(queue, 6, 'k');
  t.is(await world.store.count('ready', 'queue_id = $1', [queueId]), 4);
  await world.set(queue, { keyLimit: runningMax(1) }, world.engines[1]);
  t.is(await world.store.count('ready', 'queue_id = $1', [queueId]), 1);
  const at = await workers(queue);
  await run(queueId, 1);
  const worker = at.find(({ leases }) => leases.length > 0)!;
  const lease = worker.leases.shift()!;
  await worker.report(lease.token, [{ jobId: lease.jobs[0]!.id, move: failed({ retryDelayMs: 60_000 }) }]);
  await run(queueId, 1);
  await world.cancel([lease.jobs[0]!.id]);
  await drain(at, ids);
  t.is(mostAtOnce(await world.ran(queueId)), 1);
  t.deepEqual(await world.leftovers(queueId), []);
});

test('a serial key holds while its job waits for its limit key', async (t) => {
  const queue = 'both';
  const queueId = await world.set(queue, { keyLimit: runningMax(1) });
  const jobs = ['a', 'a', 'b', 'b'].map((serialKey) => newJob({ queue, options: { serialKey, limitKey: 'host' } }));
  await world.engines[0]!.engine.submit(jobs);
  t.deepEqual(await world.store.rows('select job_id as id, reason from skiplease.blocked where queue_id = $1 order by job_id', [queueId]),
    [{ id: jobs[1]!.id, reason: 2 }, { id: jobs[2]!.id, reason: 3 }, { id: jobs[3]!.id, reason: 2 }]);
  await drain(await workers(queue), jobs.map(({ id }) => id));
  t.is(mostAtOnce(await world.ran(queueId)), 1);
  t.deepEqual(await world.leftovers(queueId), []);
});

test('room that is made at one coordinator is used at the other within a moment', async (t) => {
  const queue = 'told';
  const queueId = await world.set(queue, { limit: runningMax(1) });
  const ids = await submit(queue, 2);
  const [here, there] = await workers(queue) as [TestWorker, TestWorker];
  await waitFor(async () => (await held(queueId)) === 1, { deadlineMs: 5_000, what: 'one to run' });
  const [holder, other] = here.leases.length > 0 ? [here, there] : [there, here];
  holder.session.window = { jobs: 1, bytes: 1 << 20 };
  holder.session.draining = true;
  const ended = performance.now();
  await holder.succeed(holder.leases.splice(0)[0]!);
  await other.gets(1);
  const ms = performance.now() - ended;
  t.true(ms < 450, `${ms} ms: it was told, and did not ask again by itself`);
  holder.session.draining = false;
  await drain([here, there], ids);
});

test('a full queue is not asked again and again', async (t) => {
  const queue = 'full';
  const queueId = await world.set(queue, { limit: runningMax(1) });
  const ids = await submit(queue, 50);
  const at = await workers(queue);
  await run(queueId, 1);
  const claims = () => world.engines.reduce((sum, { statements }) => sum + statements.filter((name) => name === 'claim_limited').length, 0);
  const before = claims();
  const until = performance.now() + 1_000;
  await waitFor(() => performance.now() > until, { deadlineMs: 2_000, what: 'a second to pass' });
  t.true(claims() - before <= 8, `${claims() - before} claims in a second`);
  await drain(at, ids);
});

test('a change of limits that its coordinator did not see through is seen through by another', async (t) => {
  const queue = 'left behind';
  const queueId = await world.store.queue(queue);
  await submit(queue, 5, 'k');
  await changeQueue(world.pool, queue, { keyLimit: runningMax(2) });
  t.is(await world.store.count('ready', 'queue_id = $1', [queueId]), 5);
  await world.store.rows(`update skiplease.queue set limits_changed_at = limits_changed_at - interval '1 minute' where id = $1`, [queueId]);
  const { store } = world.engines[1]!;
  t.deepEqual(await store.changedLimits(), [queueId]);
  await store.reviewLimits(queueId, () => {});
  t.is(await world.store.count('ready', 'queue_id = $1', [queueId]), 2);
  t.deepEqual(await store.changedLimits(), []);
});
