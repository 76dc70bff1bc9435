/** A commit whose answer is lost may have happened or not: receipts stay true, and no lease stays with nobody. */
import anyTest from 'ava';
import { systemClock } from '../../coordinator/clock.ts';
import { ReceiptStatus } from '../../coordinator/engine/messages.ts';
import { newJobs } from '../support/store_jobs.ts';
import { failed, released, startEngine, TestWorker, type TestEngine } from '../support/store_engine.ts';
import { startPostgresWire, type PostgresWire } from '../support/store_wire.ts';
import { StoreWorld } from '../support/store_world.ts';
import { waitFor } from '../support/wait.ts';

const test = anyTest.serial;
const { ACCEPTED, DUPLICATE } = ReceiptStatus;
const TICK_MS = 100;
/** Leases that no session knows of are back within two ticks and a claim; with what a slow machine adds. */
const AUDIT_BOUND_MS = 2_000;

let world: StoreWorld;
let wire: PostgresWire;
let one: TestEngine;
let queues = 0;

anyTest.before(async () => {
  world = await StoreWorld.open();
  wire = await startPostgresWire(world.url);
  one = await startEngine(wire.url, { leaseTtlMs: 30_000, tickMs: TICK_MS, lineUrl: world.url });
});

anyTest.after.always(async () => {
  await one?.stop();
  await wire?.close();
  await world?.close();
});

async function newQueue(): Promise<string> {
  queues += 1;
  await one.engine.queue(`q${queues}`);
  return `q${queues}`;
}

/** A worker that holds so many jobs of a new queue. */
async function holding(count: number) {
  const queue = await newQueue();
  const worker = new TestWorker(one.engine);
  await worker.hello({ queues: [queue], jobs: count });
  await one.engine.submit(newJobs(count, { queue }));
  await worker.gets(count);
  const lease = worker.leases[0]!;
  return { worker, lease, ids: lease.jobs.map(({ id }) => id) };
}

for (const [fate, lose] of [['was committed', 'loseAnswer'], ['never arrived', 'loseQuestion']] as const) {
  test(`a settle that ${fate} when the connection broke: every job ends once, every receipt is true`, async (t) => {
    const { worker, lease, ids } = await holding(10);
    const lost = wire[lose]('settle');
    const receipts = await worker.succeed(lease);
    await lost;
    t.deepEqual(receipts, ids.map(() => (lose === 'loseAnswer' ? DUPLICATE : ACCEPTED)));
    t.is(await world.count('outcome', 'job_id = any($1) and state = 4', [ids]), 10);
    await waitFor(() => worker.session.heldJobs === 0, { deadlineMs: 5_000, what: 'what is held, with nothing reserved' });
    worker.leave();
  });

  test(`a report of failures and releases that ${fate} when the connection broke: once each, every receipt is true`, async (t) => {
    const { worker, lease, ids } = await holding(3);
    const lost = wire[lose]('commit');
    const receipts = await worker.report(lease.token, [
      { jobId: ids[0]!, move: failed({ retryDelayMs: 60_000 }) }, { jobId: ids[1]!, move: failed({ permanent: true }) }, { jobId: ids[2]!, move: released(60_000) },
    ]);
    await lost;
    t.deepEqual(receipts.map(({ status }) => status), ids.map(() => (lose === 'loseAnswer' ? DUPLICATE : ACCEPTED)));
    t.deepEqual(await world.rows('select number from skiplease.attempt where job_id = any($1)', [ids]), [{ number: 1 }, { number: 1 }]);
    t.deepEqual(await world.rows('select attempt from skiplease.scheduled where job_id = any($1) order by attempt', [ids]), [{ attempt: 1 }, { attempt: 2 }]);
    t.is(await world.count('outcome', 'job_id = any($1) and state = 5', [ids]), 1);
    worker.leave();
  });

  test(`a claim that ${fate} when the connection broke: its jobs are delivered within a bound, no attempt spent`, async (t) => {
    const queue = await newQueue();
    const jobs = newJobs(8, { queue });
    await one.engine.submit(jobs);
    const worker = new TestWorker(one.engine);
    const lost = wire[lose]('claim');
    await worker.hello({ queues: [queue] });
    await lost;
    const since = systemClock.nowMs();
    const got = await worker.gets(8, AUDIT_BOUND_MS);
    t.log(`after ${Math.round(systemClock.nowMs() - since)} ms`);
    t.deepEqual(got.map(({ id, attempt }) => [id, attempt]).toSorted(), jobs.map(({ id }) => [id, 1] as [string, number]).toSorted());
    await waitFor(() => worker.session.heldJobs === 8, { deadlineMs: 5_000, what: 'what is held, with nothing reserved' });
    t.is(await world.count('attempt', 'job_id = any($1)', [jobs.map(({ id }) => id)]), 0);
    for (const lease of worker.leases) t.deepEqual(new Set(await worker.succeed(lease)), new Set([ACCEPTED]));
    worker.leave();
  });

  test(`a hand-off that ${fate} when the connection broke: the submitter may repeat it, and each job is delivered once`, async (t) => {
    const queue = await newQueue();
    const worker = new TestWorker(one.engine);
    await worker.hello({ queues: [queue] });
    const jobs = newJobs(8, { queue });
    const lost = wire[lose]('hand_off');
    const error = await t.throwsAsync(one.engine.submit(jobs));
    await lost;
    t.true(one.store.isTransient(error));
    await waitFor(() => worker.session.heldJobs === 0, { deadlineMs: 5_000, what: 'what is held, with nothing reserved' });
    t.deepEqual(await one.engine.submit(jobs), { existingIds: lose === 'loseAnswer' ? jobs.map(({ id }) => id) : [] });
    const got = await worker.gets(8, AUDIT_BOUND_MS);
    t.deepEqual(got.map(({ id, attempt }) => [id, attempt]).toSorted(), jobs.map(({ id }) => [id, 1] as [string, number]).toSorted());
    for (const lease of worker.leases) t.deepEqual(new Set(await worker.succeed(lease)), new Set([ACCEPTED]));
    worker.leave();
  });

  test(`a submit that ${fate} when the connection broke may be repeated`, async (t) => {
    const jobs = newJobs(3, { queue: await newQueue() });
    const lost = wire[lose]('submit');
    await t.throwsAsync(one.engine.submit(jobs));
    await lost;
    t.deepEqual(await one.engine.submit(jobs), { existingIds: lose === 'loseAnswer' ? jobs.map(({ id }) => id) : [] });
    t.is(await world.count('ready', 'job_id = any($1)', [jobs.map(({ id }) => id)]), 3);
  });
}

test('a backend that is killed in the middle of its commit: nothing of it counts, the repeat does', async (t) => {
  const { worker, lease, ids } = await holding(5);
  await world.rows(`create function pg_temp_wait() returns trigger language plpgsql as
    $$ begin perform pg_advisory_xact_lock(77); return null; end $$`);
  await world.rows('create constraint trigger waits after update on skiplease.lease deferrable initially deferred for each row execute function pg_temp_wait()');
  const holder = await world.client();
  await holder.query('select pg_advisory_lock(77)');
  const receipts = worker.succeed(lease);
  await world.waitForLockWaits('settle');
  await world.rows(`select pg_terminate_backend(pid) from pg_stat_activity where application_name = 'skiplease settle' and datname = current_database()`);
  await waitFor(() => one.statements.filter((name) => name === 'settle').length > 0, { deadlineMs: 3_000, what: 'the settle to fail' });
  t.is(await world.count('outcome', 'job_id = any($1)', [ids]), 0);
  await holder.query('select pg_advisory_unlock(77)');
  t.deepEqual(await receipts, ids.map(() => ACCEPTED));
  t.is(await world.count('outcome', 'job_id = any($1) and state = 4', [ids]), 5);
  await world.rows('drop trigger waits on skiplease.lease');
  worker.leave();
});

test('a database that stays away for longer than the audit lasts: the leases of an ambiguous claim are found all the same', async (t) => {
  const { engine, log, stop } = await startEngine(wire.url, { leaseTtlMs: 30_000, tickMs: TICK_MS, lineUrl: world.url });
  t.teardown(stop);
  const queue = await newQueue();
  const jobs = newJobs(4, { queue });
  await engine.submit(jobs);
  const worker = new TestWorker(engine);
  // No heartbeat is answered until an hour has passed, by this process's clock.
  const beats = [wire.holdAnswer('beat'), wire.holdAnswer('beat')];
  await Promise.all(beats.map(({ held }) => held));
  const lost = wire.loseAnswer('claim');
  await worker.hello({ queues: [queue] });
  await lost;
  await waitFor(() => log.lines.some(({ message }) => message.startsWith('a claim failed')), { deadlineMs: 3_000, what: 'the lost claim' });
  const real = systemClock.nowMs;
  systemClock.nowMs = () => real() + 3_600_000;
  t.teardown(() => {
    systemClock.nowMs = real;
  });
  worker.beat();
  beats.forEach(({ release }) => release());
  t.deepEqual((await worker.gets(4, AUDIT_BOUND_MS)).map(({ attempt }) => attempt), [1, 1, 1, 1]);
  worker.leave();
});

test('an audit takes nothing from a session that has it, and nothing that a hello is about to take up', async (t) => {
  const elsewhere = await startEngine(world.url, { leaseTtlMs: 30_000, tickMs: TICK_MS });
  t.teardown(elsewhere.stop);
  const queue = await newQueue();
  await world.rows('update skiplease.queue set lease_jobs_max = 2 where name = $1', [queue]);
  const before = new TestWorker(elsewhere.engine);
  await before.hello({ queues: [queue], jobs: 4 });
  await elsewhere.engine.submit(newJobs(4, { queue }));
  await before.gets(4);
  const [kept] = before.leases;
  before.break();

  const other = new TestWorker(one.engine);
  await one.engine.submit(newJobs(1, { queue: (other.instanceId) }));
  const lost = wire.loseAnswer('claim');
  await other.hello({ queues: [other.instanceId] });
  await lost;
  // The hello waits until what it does not name is given back; meanwhile what it names stands in the coordinator's name already.
  const giveBack = wire.holdAnswer('lock_leases_skip');
  const after = new TestWorker(one.engine, before.instanceId);
  const hello = after.hello({ queues: ['none'], held: [kept!.token] });
  await giveBack.held;
  await waitFor(async () => (await world.count('lease', 'id = $1 and coordinator_id = $2', [kept!.token.split('.')[0], one.engine.coordinatorId])) === 1,
    { deadlineMs: 3_000, what: 'the resume' });
  const audits = () => one.statements.filter((name) => name === 'own_leases').length;
  const seen = audits();
  await waitFor(() => audits() >= seen + 4, { deadlineMs: 3_000, what: 'some audits' });
  giveBack.release();
  t.deepEqual((await hello).lostTokens, []);
  await other.gets(1, AUDIT_BOUND_MS);
  t.deepEqual(await after.succeed(kept!), [ACCEPTED, ACCEPTED]);
  [other, after].forEach((each) => each.leave());
});
