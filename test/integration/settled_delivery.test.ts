/** What never reached a worker, or comes back unstarted, is ready again with no attempt spent. */
import anyTest, { type ExecutionContext } from 'ava';
import { ReceiptStatus } from '../../coordinator/engine/messages.ts';
import { newJobs } from '../support/store_jobs.ts';
import { startEngine, TestWorker, type TestEngine } from '../support/store_engine.ts';
import { startPostgresWire, type PostgresWire } from '../support/store_wire.ts';
import { StoreWorld } from '../support/store_world.ts';
import { waitFor } from '../support/wait.ts';

// One after the other: held answers hold up all of a coordinator.
const test = anyTest.serial;
const TTL_MS = 30_000;

let world: StoreWorld;
let wire: PostgresWire;
let one: TestEngine;
let two: TestEngine;
let queues = 0;

anyTest.before(async () => {
  world = await StoreWorld.open();
  wire = await startPostgresWire(world.url);
  [one, two] = await Promise.all([
    startEngine(wire.url, { leaseTtlMs: TTL_MS, tickMs: 100, lineUrl: world.url }), startEngine(world.url, { leaseTtlMs: TTL_MS, tickMs: 100 }),
  ]);
});

anyTest.after.always(async () => {
  await Promise.all([one?.stop(), two?.stop()]);
  await wire?.close();
  await world?.close();
});

async function newQueue(): Promise<string> {
  queues += 1;
  await one.engine.queue(`q${queues}`);
  return `q${queues}`;
}

/** The jobs are delivered to a fresh worker as if nothing had been: attempt 1, no attempt on record. */
async function deliversUnspent(t: ExecutionContext, queue: string, ids: string[], engine = one): Promise<void> {
  const worker = new TestWorker(engine.engine);
  await worker.hello({ queues: [queue] });
  const jobs = await worker.gets(ids.length);
  t.deepEqual(jobs.map(({ id, attempt }) => [id, attempt]).toSorted(), ids.map((id) => [id, 1] as [string, number]).toSorted());
  t.is(await world.count('attempt', 'job_id = any($1)', [ids]), 0);
  for (const lease of worker.leases) t.true((await worker.succeed(lease)).every((status) => status === ReceiptStatus.ACCEPTED));
  worker.leave();
}

for (const way of ['breaks', 'half-closes', 'begins to drain'] as const) {
  for (const statement of ['claim', 'hand_off'] as const) {
    test(`a stream that ${way} between ${statement} and delivery: its jobs were never written, and go back free`, async (t) => {
      const queue = await newQueue();
      const worker = new TestWorker(one.engine);
      const jobs = newJobs(5, { queue });
      const ids = jobs.map(({ id }) => id);
      const answer = wire.holdAnswer(statement);
      if (statement === 'claim') {
        await one.engine.submit(jobs);
        await worker.hello({ queues: [queue] });
        await answer.held;
      } else {
        await worker.hello({ queues: [queue] });
        void one.engine.submit(jobs);
        await answer.held;
      }
      t.true(worker.session.heldJobs >= 5, 'room for them is reserved');
      if (way === 'breaks') worker.break();
      else if (way === 'half-closes') worker.leave();
      else worker.session.draining = true;
      answer.release();
      await waitFor(async () => (await world.count('ready', 'job_id = any($1)', [ids])) === 5, { deadlineMs: 3_000, what: 'the jobs to be ready' });
      t.is(worker.leases.length, 0);
      await waitFor(() => worker.session.heldJobs === 0, { deadlineMs: 5_000, what: 'what is held, with nothing reserved' });
      t.is(worker.session.heldBytes, 0);
      await deliversUnspent(t, queue, ids);
    });
  }
}

test('what the next hello of the instance does not name goes back free, the rest goes on', async (t) => {
  for (const engine of [one, two]) {
    const queue = await newQueue();
    const before = new TestWorker(one.engine);
    await before.hello({ queues: [queue], jobs: 6 });
    await one.engine.submit(newJobs(3, { queue }));
    await one.engine.submit(newJobs(3, { queue }));
    await before.gets(6);
    const [kept, ...dropped] = before.leases;
    before.break();
    const after = new TestWorker(engine.engine, before.instanceId);
    const { resumed, lostTokens } = await after.hello({ queues: ['none'], held: [kept!.token, '9999999.00000000000000aa', 'nonsense'] });
    t.deepEqual(resumed.map((lease) => lease.token), [kept!.token]);
    t.deepEqual(lostTokens, ['9999999.00000000000000aa', 'nonsense']);
    await waitFor(() => after.session.heldJobs === kept!.jobs.length, { deadlineMs: 5_000, what: 'what is held, with nothing reserved' });
    t.true((await after.succeed(kept!)).every((status) => status === ReceiptStatus.ACCEPTED));
    await deliversUnspent(t, queue, dropped.flatMap((lease) => lease.jobs.map(({ id }) => id)), two);
    after.leave();
  }
});

test('a token with a wrong secret proves nothing', async (t) => {
  const queue = await newQueue();
  const holder = new TestWorker(one.engine);
  await holder.hello({ queues: [queue] });
  await one.engine.submit(newJobs(2, { queue }));
  await holder.gets(2);
  const lease = holder.leases[0]!;
  const forged = `${lease.token.slice(0, -4)}${lease.token.endsWith('0000') ? '1111' : '0000'}`;
  const thief = new TestWorker(two.engine);
  const { resumed, lostTokens } = await thief.hello({ queues: ['none'], held: [forged] });
  t.deepEqual([resumed.length, lostTokens], [0, [forged]]);
  t.deepEqual(await thief.succeed({ token: forged, jobs: lease.jobs }), lease.jobs.map(() => ReceiptStatus.LEASE_LOST));
  t.is(await world.count('outcome', 'job_id = any($1)', [lease.jobs.map(({ id }) => id)]), 0);
  t.deepEqual(await world.rows('select session_id, coordinator_id from skiplease.lease where id = $1', [lease.token.split('.')[0]]),
    [{ session_id: holder.session.id, coordinator_id: one.engine.coordinatorId }], 'it stays where it was');
  for (const held of holder.leases) t.true((await holder.succeed(held)).every((status) => status === ReceiptStatus.ACCEPTED));
  holder.leave();
});

test('a worker that takes its leave hands back what is unfinished, and nothing else', async (t) => {
  const queue = await newQueue();
  const worker = new TestWorker(one.engine);
  await worker.hello({ queues: [queue] });
  await one.engine.submit(newJobs(4, { queue }));
  await worker.gets(4);
  const done = worker.leases[0]!.jobs[0]!.id;
  await worker.report(worker.leases[0]!.token, [{ jobId: done, move: { kind: 'succeed', result: null, resultType: null, followUps: [] } }]);
  const rest = worker.jobs.map(({ id }) => id).filter((id) => id !== done);
  worker.leave();
  await deliversUnspent(t, queue, rest);
  t.is(await world.count('outcome', 'job_id = $1', [done]), 1);
});

test('of two streams that one instance opens at once the later one stands, and the other is told so', async (t) => {
  const queue = await newQueue();
  const first = new TestWorker(one.engine);
  await first.hello({ queues: [queue] });
  await one.engine.submit(newJobs(2, { queue }));
  await first.gets(2);
  const held = first.leases.map(({ token }) => token);
  // A hello of its own keeps the connection busy: the next two go together.
  const answer = wire.holdAnswer('hello');
  const busy = new TestWorker(one.engine).hello({ queues: ['none'] });
  await answer.held;
  const [second, third] = [new TestWorker(one.engine, first.instanceId), new TestWorker(one.engine, first.instanceId)];
  const hellos = Promise.allSettled([second.hello({ queues: [queue], held }), third.hello({ queues: [queue], held })]);
  answer.release();
  await busy;
  const [early, late] = await hellos;
  t.is(early.status === 'rejected' && (early.reason as { reason: string }).reason, 'SESSION_REPLACED');
  t.is(late.status, 'fulfilled');
  t.is(first.closedWith?.reason, 'SESSION_REPLACED');
  const ofInstance = [...one.engine.sessions.all()].filter(({ instanceId }) => instanceId === first.instanceId);
  t.deepEqual(ofInstance, [third.session]);
  t.is(await world.count('lease', 'session_id = $1', [third.session.id]), held.length);
  for (const lease of first.leases) t.true((await third.succeed(lease)).every((status) => status === ReceiptStatus.ACCEPTED));
  third.leave();
});

test('a hello that fails after it has moved leases leaves them watched: its worker may come back, or they are given up', async (t) => {
  const engine = await startEngine(wire.url, { leaseTtlMs: 800, tickMs: 80, lineUrl: world.url });
  t.teardown(() => engine.stop());
  for (const comesBack of [true, false]) {
    const queue = await newQueue();
    const before = new TestWorker(one.engine);
    await before.hello({ queues: [queue] });
    await one.engine.submit(newJobs(2, { queue }));
    await before.gets(2);
    before.break();
    const held = before.leases.map(({ token }) => token);
    const lost = wire.loseAnswer('gone_sessions');
    await t.throwsAsync(new TestWorker(engine.engine, before.instanceId).hello({ queues: ['none'], held }));
    await lost;
    t.is(await world.count('lease', 'coordinator_id = $1 and bit_count(settled) = 0', [engine.engine.coordinatorId]), held.length, 'they stand in its name');
    const other = new TestWorker(engine.engine, comesBack ? before.instanceId : undefined);
    if (comesBack) {
      const { resumed } = await other.hello({ queues: ['none'], held });
      t.is(resumed.length, held.length);
      await waitFor(() => [...engine.engine.sessions.all()].length === 1, { deadlineMs: 5_000, what: 'the failed hello to be forgotten' });
      for (const lease of before.leases) t.true((await other.succeed(lease)).every((status) => status === ReceiptStatus.ACCEPTED));
    } else {
      await other.hello({ queues: [queue] });
      t.deepEqual((await other.gets(2)).map(({ attempt }) => attempt), [2, 2], 'nobody vouched for them any more');
      for (const lease of other.leases) await other.succeed(lease);
    }
    other.leave();
  }
});

for (const seen of [true, false]) {
  test(`a hello that comes late, when its worker has said another one elsewhere, takes nothing from there: the stream's end was ${seen ? '' : 'not '}seen`, async (t) => {
    const queue = await newQueue();
    const before = new TestWorker(two.engine);
    await before.hello({ queues: [queue], jobs: 2 });
    await two.engine.submit(newJobs(1, { queue }));
    await before.gets(1);
    before.break();
    const [held] = before.leases;

    const answer = wire.holdAnswer('hello');
    const late = new TestWorker(one.engine, before.instanceId);
    const lateHello = late.hello({ queues: [queue], held: [held!.token] });
    await answer.held;
    // Nobody answers: it goes elsewhere, is welcome there with what it holds, and gets more.
    late.closed = seen;
    const there = new TestWorker(two.engine, before.instanceId);
    t.is((await there.hello({ queues: [queue], jobs: 2, held: [held!.token] })).resumed.length, 1);
    await two.engine.submit(newJobs(1, { queue }));
    await there.gets(1);
    answer.release();
    t.is((await t.throwsAsync(lateHello) as unknown as { reason: string }).reason, 'SESSION_REPLACED');

    const rows = await world.rows('select coordinator_id, session_id, settled::text from skiplease.lease where queue_id = (select id from skiplease.queue where name = $1)', [queue]);
    t.deepEqual(rows, [1, 2].map(() => ({ coordinator_id: two.engine.coordinatorId, session_id: there.session.id, settled: '0' })));
    t.is(await world.count('session', 'id = $1', [there.session.id]), 1);
    for (const lease of [held!, ...there.leases]) t.deepEqual(await there.succeed(lease), [ReceiptStatus.ACCEPTED]);
    there.leave();
  });
}

test('what was leased to a stream that its worker had left unseen goes back when the worker comes back to that coordinator', async (t) => {
  const queue = await newQueue();
  const unseen = new TestWorker(one.engine);
  const elsewhere = new TestWorker(two.engine, unseen.instanceId);
  await unseen.hello({ queues: [queue] });
  await elsewhere.hello({ queues: ['none'] });
  const jobs = newJobs(2, { queue });
  await one.engine.submit(jobs);
  await unseen.gets(2);
  elsewhere.break();
  const back = new TestWorker(one.engine, unseen.instanceId);
  await back.hello({ queues: ['none'] });
  await deliversUnspent(t, queue, jobs.map(({ id }) => id));
  back.leave();
});
