/** Serial keys on two coordinators: one at a time, in the order of their submission, also across retries. */
import anyTest from 'ava';
import { GatesWorld, mostAtOnce, outOfOrder } from '../support/gates_world.ts';
import { failed, released, succeeded, TestWorker } from '../support/store_engine.ts';
import { newJob } from '../support/store_jobs.ts';
import { waitFor } from '../support/wait.ts';

const test = anyTest.serial;
const GO_AHEAD = 2;

let world: GatesWorld;
test.before(async () => {
  world = await GatesWorld.open();
});
test.after.always(() => world?.close());

async function submit(queue: string, count: number, key = 'k', engine = 0): Promise<string[]> {
  const jobs = Array.from({ length: count }, () => newJob({ queue, options: { serialKey: key } }));
  await world.engines[engine]!.engine.submit(jobs);
  return jobs.map(({ id }) => id);
}

async function workerAt(engine: number, queue: string, jobs = 10): Promise<TestWorker> {
  const worker = new TestWorker(world.engines[engine]!.engine);
  await worker.hello({ queues: [queue], jobs });
  return worker;
}

/** The one job that runs, once one does. */
async function running(queue: string, workers: TestWorker[]): Promise<{ id: string; attempt: number; worker: TestWorker; token: string }> {
  const queueId = await world.store.queue(queue);
  const held = await waitFor(async () => {
    const rows = await world.store.rows<{ token: string; id: string; attempt: number }>(
      `select l.id || '.' || lpad(to_hex(l.secret), 16, '0') as token, u.id, l.attempts[u.place] as attempt
         from skiplease.lease l cross join unnest(l.job_ids) with ordinality as u (id, place)
        where l.queue_id = $1 and get_bit(l.settled, u.place::int - 1) = 0`, [queueId]);
    if (rows.length > 1) throw new Error('Two run at once.');
    return rows[0];
  }, { deadlineMs: 5_000, what: 'one to run' });
  const worker = await waitFor(() => workers.find(({ leases }) => leases.some(({ token }) => token === held.token)), { deadlineMs: 5_000, what: 'its worker to have it' });
  return { ...held, worker };
}

const state = (id: string) => world.store.value<string>(
  `select case when exists (select from skiplease.blocked where job_id = $1 and reason = 2) then 'waits for its key'
               when exists (select from skiplease.scheduled where job_id = $1) then 'backs off'
               when exists (select from skiplease.outcome where job_id = $1) then 'ended' else 'may run' end`, [id]);

test('one at a time, in the order of their submission, whichever coordinator submits and leases', async (t) => {
  const queue = 'order';
  const ids = [...await submit(queue, 2, 'k', 0), ...await submit(queue, 2, 'k', 1), ...await submit(queue, 1, 'k', 0)];
  const beside = await submit(queue, 3, 'other');
  t.is(await state(ids[1]!), 'waits for its key');
  const workers = [await workerAt(0, queue), await workerAt(1, queue)];
  const done: string[] = [];
  await waitFor(async () => {
    for (const worker of workers) {
      for (const lease of worker.leases.splice(0)) {
        done.push(...lease.jobs.map(({ id }) => id));
        await worker.succeed(lease);
      }
    }
    return done.length === 8;
  }, { deadlineMs: 10_000, what: 'all to end' });
  t.deepEqual(done.filter((id) => ids.includes(id)), ids);
  t.deepEqual(done.filter((id) => beside.includes(id)), beside);
  t.deepEqual(await world.leftovers(await world.store.queue(queue)), []);
  workers.forEach((worker) => worker.leave());
});

test('the next one waits for a backoff, also for one that was handed back', async (t) => {
  const queue = 'waits';
  const [first, second] = await submit(queue, 2) as [string, string];
  const workers = [await workerAt(0, queue), await workerAt(1, queue)];
  let run = await running(queue, workers);
  await run.worker.report(run.token, [{ jobId: first, move: failed({ retryDelayMs: 60 }) }]);
  t.is(await state(second), 'waits for its key');
  run = await running(queue, workers);
  t.like(run, { id: first, attempt: 2 });
  await run.worker.report(run.token, [{ jobId: first, move: released(30) }]);
  run = await running(queue, workers);
  t.like(run, { id: first, attempt: 2 });
  await run.worker.report(run.token, [{ jobId: first, move: succeeded() }]);
  run = await running(queue, workers);
  t.is(run.id, second);
  await run.worker.report(run.token, [{ jobId: second, move: succeeded() }]);
  const ran = await world.ran(await world.store.queue(queue));
  t.deepEqual([mostAtOnce(ran), outOfOrder(ran)], [1, []]);
  workers.forEach((worker) => worker.leave());
});

test('by the other policy it goes ahead, and the failed one comes next when its time has come', async (t) => {
  const queue = 'goes ahead';
  const [first, second, third] = await submit(queue, 3) as [string, string, string];
  await world.set(queue, { serialRetry: GO_AHEAD });
  const workers = [await workerAt(0, queue)];
  let run = await running(queue, workers);
  await run.worker.report(run.token, [{ jobId: first, move: failed({ retryDelayMs: 50 }) }]);
  run = await running(queue, workers);
  t.is(run.id, second);
  await waitFor(async () => (await state(first)) === 'waits for its key', { deadlineMs: 5_000, what: 'the first to be due' });
  await run.worker.report(run.token, [{ jobId: second, move: succeeded() }]);
  run = await running(queue, workers);
  t.like(run, { id: first, attempt: 2 }, 'before the third');
  await run.worker.report(run.token, [{ jobId: first, move: succeeded() }]);
  run = await running(queue, workers);
  t.is(run.id, third);
  await run.worker.report(run.token, [{ jobId: third, move: succeeded() }]);
  t.deepEqual(await world.leftovers(await world.store.queue(queue)), []);
  workers.forEach((worker) => worker.leave());
});

test('a change of the policy holds for those that back off already', async (t) => {
  const queue = 'changed';
  const [first, second] = await submit(queue, 2) as [string, string];
  const workers = [await workerAt(0, queue)];
  let run = await running(queue, workers);
  await run.worker.report(run.token, [{ jobId: first, move: failed({ retryDelayMs: 3_600_000 }) }]);
  t.is(await state(second), 'waits for its key');
  await world.set(queue, { serialRetry: GO_AHEAD }, world.engines[1]);
  run = await running(queue, workers);
  t.is(run.id, second);
  await world.cancel([first]);
  await run.worker.report(run.token, [{ jobId: second, move: succeeded() }]);
  t.deepEqual(await world.leftovers(await world.store.queue(queue)), []);
  workers.forEach((worker) => worker.leave());
});

test('whoever is cancelled, wherever it is, lets the next one go', async (t) => {
  const queue = 'cancelled';
  const [ready, waits, next, last] = await submit(queue, 4) as [string, string, string, string];
  await world.cancel([waits, ready]);
  const workers = [await workerAt(1, queue)];
  t.is((await running(queue, workers)).id, next);
  await world.cancel([next]);
  const run = await running(queue, workers);
  t.is(run.id, last);
  await run.worker.report(run.token, [{ jobId: last, move: failed({ permanent: true }) }]);
  t.deepEqual(await world.leftovers(await world.store.queue(queue)), []);
  workers.forEach((worker) => worker.leave());
});

test('who comes to a key waits for the transaction of who came before, be the key new or not, or just forgotten', async (t) => {
  const queue = 'meets';
  const client = await world.store.client();
  await submit(queue, 1, 'old');
  const meet = async (key: string, first: () => Promise<unknown>): Promise<string> => {
    await client.query('begin');
    await first();
    const submitted = submit(queue, 1, key, 1);
    await world.store.waitForLockWaits('special');
    await client.query('commit');
    return state((await submitted)[0]!);
  };
  const enter = (key: string) => async () => {
    const { id, type, payload } = newJob({ queue });
    await client.query(`insert into skiplease.job (id, queue_id, priority, type, payload, options) values ($1, $2, 0, $3, $4, jsonb_build_object('serialKey', $5::text))`,
      [id, await world.store.queue(queue), type, payload, key]);
    await client.query('select skiplease.enter($1, false)', [[id]]);
  };
  t.is(await meet('new', enter('new')), 'waits for its key');
  t.is(await meet('old', enter('old')), 'waits for its key');
  const [last] = await submit(queue, 1, 'forgotten');
  t.is(await meet('forgotten', () => client.query('select skiplease.leave_gates($1)', [[last]])), 'may run');
  t.is(await world.store.count('gate', `key = 'forgotten'`), 1);
});

test('many callers that name the same keys in any order, at both coordinators, are all answered', async (t) => {
  const queue = 'shuffled';
  const keys = Array.from({ length: 12 }, (_, index) => `k${index}`);
  const shuffled = () => keys.toSorted(() => Math.random() - 0.5).map((key) => newJob({ queue, options: { serialKey: key, limitKey: key } }));
  await Promise.all(Array.from({ length: 60 }, (_, index) => world.engines[index % 2]!.engine.submit(shuffled())));
  t.is(await world.store.count('gate_holder', 'kind = 2 and gate_id in (select id from skiplease.gate where queue_id = $1)', [await world.store.queue(queue)]), 12);
});

test('while every gate is locked, plain jobs are submitted, leased and settled, in the same queue too', async (t) => {
  const queue = 'plain beside';
  await submit(queue, 3);
  const client = await world.store.client();
  await client.query('begin');
  await client.query('select from skiplease.gate for update');
  // It is told to come again, once it has waited for too long.
  const keyed = submit(queue, 1).catch(() => undefined);
  await world.store.waitForLockWaits('special');
  const worker = await workerAt(0, queue, 30);
  const plain = Array.from({ length: 20 }, () => newJob({ queue }));
  await world.engines[0]!.engine.submit(plain);
  await worker.gets(21);
  const statuses = await Promise.all(worker.leases.map((lease) => worker.report(lease.token,
    lease.jobs.filter(({ id }) => plain.some((job) => job.id === id)).map(({ id }) => ({ jobId: id, move: succeeded() })))));
  t.is(statuses.flat().length, 20);
  await client.query('rollback');
  await keyed;
  worker.leave();
});
