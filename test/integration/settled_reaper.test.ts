/** Who may give up what, and when: silence, dead coordinators, outages, and coordinators that were away and come back. */
import test from 'ava';
import { systemClock } from '../../coordinator/clock.ts';
import { CancelReason, ReceiptStatus } from '../../coordinator/engine/messages.ts';
import { newJob, newJobs } from '../support/store_jobs.ts';
import { startEngine, succeeded, TestWorker, type TestEngine } from '../support/store_engine.ts';
import { startPostgresWire } from '../support/store_wire.ts';
import { startTcpProxy } from '../support/tcp_proxy.ts';
import { StoreWorld } from '../support/store_world.ts';
import { waitFor, within } from '../support/wait.ts';

const TTL_MS = 600;
const TICK_MS = 60;

/** Each test has a database of its own: coordinators see each other's rows. */
async function withWorld(run: (world: StoreWorld, start: (url?: string) => Promise<TestEngine>) => Promise<void>): Promise<void> {
  const world = await StoreWorld.open();
  const engines: TestEngine[] = [];
  try {
    await run(world, async (url = world.url) => {
      const engine = await startEngine(url, { leaseTtlMs: TTL_MS, tickMs: TICK_MS, lineUrl: world.url });
      engines.push(engine);
      return engine;
    });
  } finally {
    for (const engine of engines) await engine.stop();
    await world.close();
  }
}

/** Waits until so many further heartbeats of the engine have been run. */
async function ticks({ statements }: TestEngine, count: number): Promise<void> {
  const beats = () => statements.filter((name) => name === 'beat').length;
  const before = beats();
  await waitFor(() => beats() >= before + count, { deadlineMs: 5_000, what: `${count} heartbeats` });
}

test('a silent worker\'s jobs go to others after the time to live, and an attempt is spent on each', async (t) => {
  await withWorld(async (world, start) => {
    const { engine } = await start();
    const [silent, other] = [new TestWorker(engine), new TestWorker(engine)];
    await silent.hello();
    const jobs = newJobs(3);
    await engine.submit(jobs);
    await silent.gets(3);
    silent.fallSilent();
    const since = systemClock.nowMs();
    await other.hello();
    const redelivered = await other.gets(3);
    t.true(systemClock.nowMs() - since > TTL_MS - 30, 'not before the time to live has passed');
    t.deepEqual(redelivered.map(({ attempt }) => attempt), [2, 2, 2]);
    t.is(silent.closedWith?.reason, 'SESSION_SILENT');
    t.deepEqual(await world.rows('select state, error_code, worker_id from skiplease.attempt'),
      jobs.map(() => ({ state: 2, error_code: 'LEASE_EXPIRED', worker_id: 'w' })));
    t.deepEqual(await silent.report(silent.leases[0]!.token, [{ jobId: jobs[0]!.id, move: succeeded() }]).then((all) => all.map(({ status }) => status)),
      [ReceiptStatus.LEASE_LOST]);
    t.deepEqual(await other.succeed(other.leases[0]!), [1, 1, 1]);
  });
});

test('an outage longer than the time to live spends no attempt: live workers renew before anything is reaped', async (t) => {
  await withWorld(async (world, start) => {
    const url = new URL(world.url);
    const proxy = await startTcpProxy(url.host);
    t.teardown(() => proxy.close());
    url.host = proxy.address;
    const coordinator = await start(url.href);
    const { engine } = coordinator;
    const worker = new TestWorker(engine);
    await worker.hello();
    await engine.submit([newJob()]);
    await worker.gets(1);
    await waitFor(() => engine.standing.mayReap, { deadlineMs: 5_000, what: 'a coordinator of good standing' });

    proxy.refuse(true);
    proxy.cut();
    worker.fallSilent();
    await waitFor(() => engine.standing.silentMs > 1.5 * TTL_MS, { deadlineMs: 5_000, what: 'an outage that is long enough' });
    t.true(systemClock.nowMs() - worker.session.heardMs > TTL_MS);
    await waitFor(() => engine.standing.validForMs() === 0, { deadlineMs: 5_000, what: 'others to be free to give it up' });
    t.is((await t.throwsAsync(new TestWorker(engine).hello()) as unknown as { reason: string }).reason, 'COORDINATOR_EXPIRED', 'what it resumed would go with it');
    proxy.refuse(false);
    await waitFor(() => engine.standing.silentMs < TICK_MS * 2, { deadlineMs: 5_000, what: 'the heartbeat to be back' });
    await ticks(coordinator, 4);
    t.true(engine.standing.silentMs < TTL_MS);
    t.is(engine.sessions.get(worker.session.id), worker.session, 'it has the rest of a time to live to be heard');
    const beating = setInterval(() => worker.beat(), 20);
    await waitFor(() => engine.standing.mayReap, { deadlineMs: 5_000, what: 'good standing again' });
    await ticks(coordinator, 3);
    t.deepEqual(await worker.succeed(worker.leases[0]!), [ReceiptStatus.ACCEPTED]);
    clearInterval(beating);
    t.is(await world.count('attempt'), 0);
  });
});

test('a dead coordinator\'s leases are given up when its row has been expired for a time to live, and not before', async (t) => {
  await withWorld(async (world, start) => {
    const [dead, alive] = [await start(), await start()];
    const lost = new TestWorker(dead.engine);
    await lost.hello({ jobs: 2 });
    await dead.engine.submit(newJobs(2));
    await lost.gets(2);
    const other = new TestWorker(alive.engine);
    await other.hello();
    await dead.abandon();
    const expiresAt = await world.value<Date>('select expires_at from skiplease.coordinator where id = $1', [dead.engine.coordinatorId]);
    t.deepEqual((await other.gets(2)).map(({ attempt }) => attempt), [2, 2]);
    const endedAt = await world.value<Date>('select min(ended_at) from skiplease.attempt');
    t.true(endedAt.getTime() - expiresAt.getTime() >= TTL_MS, `given up ${endedAt.getTime() - expiresAt.getTime()} ms after the row expired`);
    await waitFor(async () => (await world.count('coordinator')) === 1, { deadlineMs: 5_000, what: 'the dead one to be buried' });
    t.is(await world.count('session', 'coordinator_id = $1', [dead.engine.coordinatorId]), 0);
    t.deepEqual(await other.succeed(other.leases[0]!), [1, 1]);
  });
});

test('whether a coordinator is dead is seen again under a lock on its row', async (t) => {
  await withWorld(async (world) => {
    const { id, store } = world.coordinator();
    await store.enter(id, 60_000, '');
    const given = () => store.mend((run) => store.lockExpired(run, [id], 60_000));
    t.deepEqual([...(await given())], []);
    await world.rows(`update skiplease.coordinator set expires_at = skiplease.now() - interval '30 s'`);
    t.deepEqual([...(await given())], [], 'expired, but for less than a time to live');
    await world.rows(`update skiplease.coordinator set expires_at = skiplease.now() - interval '61 s'`);
    t.deepEqual([...(await given())], [id]);
    // It comes back just now: its heartbeat is not committed yet.
    const heartbeat = await world.client();
    await heartbeat.query('begin');
    await heartbeat.query(`update skiplease.coordinator set expires_at = skiplease.now() + interval '60 s'`);
    const looked = given();
    await world.waitForLockWaits('mend');
    await heartbeat.query('commit');
    t.deepEqual([...(await looked)], []);
  });
});

test('a coordinator that was away changes nothing of a lease that was resumed elsewhere', async (t) => {
  await withWorld(async (world, start) => {
    const [away, here] = [await start(), await start()];
    const before = new TestWorker(away.engine);
    await before.hello({ jobs: 4 });
    await away.engine.submit(newJobs(4));
    await before.gets(4);
    before.fallSilent();
    const { token, jobs } = before.leases[0]!;

    const after = new TestWorker(here.engine, before.instanceId);
    const { resumed, lostTokens } = await after.hello({ held: [token], jobs: 4 });
    t.deepEqual(lostTokens, []);
    t.deepEqual(resumed.map((lease) => lease.unsettledJobIds()), [jobs.map(({ id }) => id)]);
    const row = () => world.rows('select session_id, coordinator_id, settled::text from skiplease.lease');
    const expected = [{ session_id: after.session.id, coordinator_id: here.engine.coordinatorId, settled: '0000' }];

    // It thinks that it still has the session, and ends it in each way that it knows.
    await away.engine.sessions.giveUp([before.session], 0);
    t.deepEqual(await row(), expected);
    away.engine.sessions.leave(before.session);
    await ticks(away, 2);
    t.deepEqual(await row(), expected);
    t.is(await world.count('attempt'), 0);
    t.deepEqual(await after.succeed({ token, jobs }), [1, 1, 1, 1]);
  });
});

test('a lease of a coordinator that expired long ago is live until somebody takes it: its report counts', async (t) => {
  await withWorld(async (world, start) => {
    const [gone, here] = [world.coordinator(), await start()];
    await gone.store.enter(gone.id, 60_000, '');
    const queueId = await world.queue();
    await world.submit(gone, queueId, [newJob()]);
    const claimed = (await gone.claim(queueId, 1))!;
    await here.engine.stop();
    await world.rows(`update skiplease.coordinator set expires_at = skiplease.now() - interval '1 day'`);
    const other = world.coordinator();
    const { locked } = await other.store.mend((run) => other.store.lockLeases(run, [claimed.leaseId], 'settle'));
    t.is(locked.get(claimed.leaseId)?.secret, claimed.secret);
    const accepted = await other.store.settle(
      [{ leaseId: claimed.leaseId, secret: claimed.secret, expected: locked.get(claimed.leaseId)!.settled.copy(), add: full(locked.get(claimed.leaseId)!.settled) }],
      [{ jobId: claimed.jobIds[0]!, leaseId: claimed.leaseId, attempt: 1, result: null, resultType: null, batchId: null }], []);
    t.is(accepted, undefined, 'all of them');
    t.is(await world.count('outcome', 'state = 4'), 1);
  });
});

function full<Mask extends { length: number; set(index: number): boolean; copy(): Mask }>(mask: Mask): Mask {
  const all = mask.copy();
  for (let index = 0; index < all.length; index += 1) all.set(index);
  return all;
}

test('a heartbeat waits for no housekeeping: whoever is slow is not dead', async (t) => {
  await withWorld(async (world, start) => {
    const { engine } = await start();
    const worker = new TestWorker(engine);
    await worker.hello();
    await engine.submit([newJob()]);
    await worker.gets(1);
    const holder = await world.client();
    await holder.query('begin');
    await holder.query('lock table skiplease.lease in access exclusive mode');
    worker.fallSilent();
    await world.waitForLockWaits('rare');
    const until = performance.now() + 2 * TTL_MS;
    while (performance.now() < until) {
      t.true(await world.value<boolean>('select expires_at > skiplease.now() from skiplease.coordinator'), 'alive, while its reaper waits for a lock');
    }
    await holder.query('rollback');
  });
});

test('a coordinator whose row was removed enters again, and tells its workers what they lost and nothing else', async (t) => {
  await withWorld(async (world, start) => {
    const wire = await startPostgresWire(world.url);
    t.teardown(() => wire.close());
    const coordinator = await start(wire.url);
    const { engine } = coordinator;
    const worker = new TestWorker(engine);
    await worker.hello({ queues: ['lost', 'kept', 'new'] });
    await engine.queue('new');
    await engine.submit([newJob({ queue: 'lost' })]);
    await worker.gets(1);
    await engine.submit([newJob({ queue: 'kept' })]);
    await worker.gets(2);

    const look = wire.holdAnswer('own_leases');
    await world.rows('with gone as (delete from skiplease.coordinator) delete from skiplease.lease where id = $1', [worker.leases[0]!.token.split('.')[0]]);
    await look.held;
    t.is(engine.standing.validForMs(), 0, 'nothing is promised before it is known what was lost');
    // Granted after the look at what is left, and delivered before its answer: not lost.
    await engine.submit([newJob({ queue: 'new' })]);
    await worker.gets(3);
    look.release();
    await waitFor(() => worker.cancels.length > 0, { deadlineMs: 5_000, what: 'word of the lost lease' });
    await ticks(coordinator, 2);
    t.deepEqual(worker.cancels.map(({ token, reason }) => ({ token, reason })), [{ token: worker.leases[0]!.token, reason: CancelReason.LEASE_LOST }]);
    t.true(engine.standing.validForMs() > 0);
    t.is(await world.count('coordinator'), 1);
    await waitFor(() => worker.session.heldJobs === 2, { deadlineMs: 5_000, what: 'what is held, with nothing reserved' });
    t.deepEqual(await worker.succeed(worker.leases[1]!), [1]);
    t.deepEqual(await worker.succeed(worker.leases[2]!), [1]);
  });
});

test('a coordinator that is stopped while its database is away does not wait for it without end', async (t) => {
  await withWorld(async (world, start) => {
    const url = new URL(world.url);
    const proxy = await startTcpProxy(url.host);
    t.teardown(() => proxy.close());
    url.host = proxy.address;
    const { engine, stop } = await start(url.href);
    const worker = new TestWorker(engine);
    await worker.hello();
    await engine.submit([newJob()]);
    await worker.gets(1);
    proxy.refuse(true);
    proxy.cut();
    void worker.succeed(worker.leases[0]!);
    await waitFor(() => engine.settler.waitingOutcomes > 0 || engine.standing.silentMs > TTL_MS, { deadlineMs: 5_000, what: 'a report that waits' });
    await within(stop(), 15_000, 'the stop');
    t.is(await world.count('outcome'), 0);
    t.is(await world.count('lease'), 1, 'its worker still holds it, and may report it elsewhere');
  });
});

test('leases in the name of a coordinator that was buried, came back and was killed at once are given up all the same', async (t) => {
  await withWorld(async (world, start) => {
    const [gone, here] = [world.coordinator(), await start()];
    const queueId = await world.queue();
    const job = newJob();
    await world.submit(gone, queueId, [job]);
    await gone.claim(queueId, 1);
    t.is(await world.count('coordinator', 'id = $1', [gone.id]), 0);
    await here.store.adoptLeases();
    t.is(await world.count('coordinator', 'id = $1 and expires_at <= skiplease.now()', [gone.id]), 1);
    const worker = new TestWorker(here.engine);
    await worker.hello();
    t.deepEqual((await worker.gets(1)).map(({ id }) => id), [job.id]);
    await waitFor(async () => (await world.count('coordinator')) === 1, { deadlineMs: 5_000, what: 'the dead one to be buried' });
    await here.store.adoptLeases();
    t.is(await world.count('coordinator'), 1, 'whoever has a row keeps it, and nobody else gets one');
  });
});

test('what a coordinator leased to a session that had ended elsewhere comes back free when that coordinator dies', async (t) => {
  await withWorld(async (world, start) => {
    const [dying, here] = [await start(), await start()];
    const before = new TestWorker(dying.engine);
    await before.hello({ queues: ['late'], jobs: 1 });
    // Its stream breaks, which its coordinator does not see; and it says hello elsewhere.
    const after = new TestWorker(here.engine, before.instanceId);
    await after.hello({ queues: ['other'], jobs: 1 });
    await dying.engine.submit([newJob({ queue: 'late' })]);
    await before.gets(1);
    before.fallSilent();
    await dying.abandon();
    const worker = new TestWorker(here.engine);
    await worker.hello({ queues: ['late'] });
    t.deepEqual((await worker.gets(1, 10_000)).map(({ attempt }) => attempt), [1]);
    t.is(await world.count('attempt'), 0);
  });
});
