/** Lock, then look; one order of locks; the mask: whoever meets over a lease, each job ends once and each receipt is true. */
import anyTest, { type ExecutionContext } from 'ava';
import type pg from 'pg';
import { cancelJobs } from '../../coordinator/store/cancel_jobs.ts';
import { openPool, type Pool } from '../../coordinator/store/pool.ts';
import { Bits } from '../../coordinator/bits.ts';
import { ReceiptStatus } from '../../coordinator/engine/messages.ts';
import { menderOf } from '../support/lease_expirer.ts';
import { newJobs } from '../support/store_jobs.ts';
import { failed, released, startEngine, succeeded, TestWorker, type SentLease, type TestEngine } from '../support/store_engine.ts';
import { StoreWorld } from '../support/store_world.ts';
import { waitFor, within } from '../support/wait.ts';

// One after the other: what waits for a lock holds up the next flush of its coordinator.
const test = anyTest.serial;
const { ACCEPTED, DUPLICATE, LEASE_LOST, CANCELLED } = ReceiptStatus;

let world: StoreWorld;
let one: TestEngine;
let two: TestEngine;
let pool: Pool;
let queues = 0;

anyTest.before(async () => {
  world = await StoreWorld.open();
  [one, two] = await Promise.all([startEngine(world.url, { leaseTtlMs: 30_000, tickMs: 200 }), startEngine(world.url, { leaseTtlMs: 30_000, tickMs: 200 })]);
  pool = await openPool(world.url);
});

anyTest.after.always(async () => {
  await Promise.all([one?.stop(), two?.stop(), pool?.end()]);
  await world?.close();
});

/** A worker that holds one lease of so many jobs. */
async function holding(engine: TestEngine, count: number, fields: { maxAttempts?: number } = {}): Promise<{ worker: TestWorker; lease: SentLease; ids: string[] }> {
  queues += 1;
  const queue = `q${queues}`;
  const worker = new TestWorker(engine.engine);
  await worker.hello({ queues: [queue], jobs: count });
  await engine.engine.submit(newJobs(count, { queue, ...fields }));
  await worker.gets(count);
  const lease = worker.leases[0]!;
  return { worker, lease, ids: lease.jobs.map(({ id }) => id) };
}

const leaseId = (lease: { token: string }) => lease.token.split('.')[0]!;

/** A transaction of the test's own that has locked the lease. */
async function lockLease(lease: { token: string }, strength: string): Promise<pg.Client> {
  const client = await world.client();
  await client.query('begin');
  await client.query(`select 1 from skiplease.lease where id = $1 for ${strength}`, [leaseId(lease)]);
  return client;
}

const statuses = async (receipts: Promise<{ status: ReceiptStatus }[]>) => (await receipts).map(({ status }) => status);
const every = (ids: string[], move: Parameters<TestWorker['report']>[1][0]['move']) => ids.map((jobId) => ({ jobId, move }));

/** Each of these jobs has one outcome in this state, and is nowhere else. */
async function ended(t: ExecutionContext, ids: string[], state: number): Promise<void> {
  t.is(await world.count('outcome', 'job_id = any($1) and state = $2', [ids, state]), ids.length);
  t.is(await world.count('ready', 'job_id = any($1)', [ids]), 0);
  t.is(await world.count('scheduled', 'job_id = any($1)', [ids]), 0);
}

test('two coordinators that settle the same lease at once: each job is accepted once', async (t) => {
  const { worker, lease, ids } = await holding(one, 20);
  const elsewhere = new TestWorker(two.engine);
  await elsewhere.hello({ queues: ['none'] });
  const holder = await lockLease(lease, 'no key update');
  const [left, right] = [worker.succeed(lease), statuses(elsewhere.report(lease.token, every(ids, succeeded())))];
  await Promise.all([world.waitForLockWaits('settle'), world.waitForLockWaits('mend')]);
  await holder.query('commit');
  const both = [await left, await right];
  ids.forEach((_, index) => t.deepEqual(both.map((side) => side[index]!).toSorted(), [ACCEPTED, DUPLICATE]));
  await ended(t, ids, 4);
});

for (const kind of ['succeed', 'fail for good'] as const) {
  const move = kind === 'succeed' ? succeeded() : failed({ permanent: true });
  test(`a report to ${kind} that waited for the lease sees what was committed meanwhile`, async (t) => {
    const cases = [
      ['a success under this lease', DUPLICATE, 'insert into skiplease.outcome (job_id, lease_id, finished_at, state, attempt) select $1, $2, now(), 4, 1'],
      ['a cancel', CANCELLED, 'insert into skiplease.outcome (job_id, lease_id, finished_at, state, attempt) select $1, $2, now(), 6, 1'],
      ['a failed attempt under this lease', DUPLICATE,
        `insert into skiplease.attempt select $1, 1, $2, 1, now(), now(), 'w', '', '', ''`],
      ['a return with no attempt spent', LEASE_LOST,
        `insert into skiplease.ready select nextval('skiplease.position') * 16384, j.id, now(), j.queue_id, 400, 0, 1, true
           from skiplease.job j, skiplease.lease l where j.id = $1 and l.id = $2`],
    ] as const;
    for (const [what, expected, statement] of cases) {
      const { worker, lease, ids } = await holding(one, 2);
      const other = await world.client();
      await other.query('begin');
      await other.query(`update skiplease.lease set settled = '10' where id = $1`, [leaseId(lease)]);
      await other.query(statement, [ids[0], leaseId(lease)]);
      const receipts = statuses(worker.report(lease.token, every(ids, move)));
      await world.waitForLockWaits(kind === 'succeed' ? 'settle' : 'mend');
      await other.query('commit');
      t.deepEqual(await receipts, [expected, ACCEPTED], what);
      t.is(await world.count('outcome', 'job_id = $1 and state = $2', [ids[0], kind === 'succeed' ? 4 : 5]), what.startsWith('a success') && kind === 'succeed' ? 1 : 0, what);
      t.is(await world.count('attempt', `job_id = $1 and error_code = 'BROKEN'`, [ids[0]]), 0, what);
      await waitFor(() => worker.session.heldJobs === 0, { deadlineMs: 5_000, what: 'what is held, with nothing reserved' });
      worker.leave();
    }
  });
}

test('success and expiry at once: either the report counts or the attempt does, and the receipt says which', async (t) => {
  const reaper = menderOf(two);
  const wins = { report: 0, expiry: 0 };
  for (let round = 0; round < 20; round += 1) {
    const { worker, lease, ids } = await holding(one, 4);
    const expired = new Promise<void>((resolve) => {
      const expire = () => reaper.add({
        leaseId: BigInt(leaseId(lease)), proof: { ownerCoordinatorId: one.engine.coordinatorId }, moves: { kind: 'expire' }, done: () => resolve(),
      });
      // Now the one is first, now the other.
      if (round % 2 === 0) expire();
      else setImmediate(expire);
    });
    const receipts = await worker.succeed(lease);
    await expired;
    for (const [index, id] of ids.entries()) {
      const counts = [await world.count('outcome', 'job_id = $1 and state = 4', [id]), await world.count('attempt', 'job_id = $1 and state = 2', [id]), await world.count('ready', 'job_id = $1 and attempt = 2', [id])];
      t.deepEqual(counts, receipts[index] === ACCEPTED ? [1, 0, 0] : [0, 1, 1], `a receipt of ${receipts[index]}`);
      t.true(receipts[index] === ACCEPTED || receipts[index] === LEASE_LOST);
      wins[receipts[index] === ACCEPTED ? 'report' : 'expiry'] += 1;
    }
    worker.fallSilent();
    one.engine.sessions.leave(worker.session);
  }
  t.log(wins);
});

for (const first of ['cancel', 'success'] as const) {
  test(`cancel and success at once, ${first} first in line: exactly one wins, and both are told so`, async (t) => {
    const { worker, lease, ids } = await holding(one, 3);
    const holder = await lockLease(lease, 'no key update');
    const cancel = () => cancelJobs(pool, [ids[0]!, ids[2]!], 'no more', () => {});
    const report = () => worker.succeed(lease);
    let cancelled: ReturnType<typeof cancel>;
    let receipts: ReturnType<typeof report>;
    if (first === 'cancel') {
      cancelled = cancel();
      await world.waitForLockWaits('ordinary');
      receipts = report();
      await world.waitForLockWaits('settle');
    } else {
      receipts = report();
      await world.waitForLockWaits('settle');
      cancelled = cancel();
      await world.waitForLockWaits('ordinary');
    }
    await holder.query('commit');
    const won = first === 'cancel' ? CANCELLED : ACCEPTED;
    t.deepEqual(await receipts, [won, ACCEPTED, won]);
    t.deepEqual((await cancelled).map(({ outcome }) => outcome), first === 'cancel' ? ['cancelled', 'cancelled'] : ['already_final', 'already_final']);
    await ended(t, [ids[0]!, ids[2]!], first === 'cancel' ? 6 : 4);
    await ended(t, [ids[1]!], 4);
    worker.leave();
  });
}

test('a cancel that waited for a lease whose attempt failed meanwhile finds the job where it is now', async (t) => {
  const { worker, lease, ids } = await holding(one, 1);
  const other = await world.client();
  await other.query('begin');
  await other.query(`update skiplease.lease set settled = '1' where id = $1`, [leaseId(lease)]);
  await other.query(
    `insert into skiplease.ready select nextval('skiplease.position') * 16384, id, now(), queue_id, 400, 0, 2, true from skiplease.job where id = $1`, [ids[0]]);
  const cancelled = cancelJobs(pool, ids, '', () => {});
  await world.waitForLockWaits('ordinary');
  await other.query('commit');
  t.deepEqual(await cancelled, [{ id: ids[0]!, outcome: 'cancelled' }]);
  await ended(t, ids, 6);
  worker.leave();
});

test('a cancel of a job that is being completed in SQL waits for it, and says that it is final', async (t) => {
  const { worker, lease, ids } = await holding(one, 1);
  const application = await completeInSql(lease, ids[0]!);
  const cancelled = cancelJobs(pool, ids, '', () => {});
  await world.waitForLockWaits('ordinary');
  await application.query('commit');
  t.deepEqual(await cancelled, [{ id: ids[0]!, outcome: 'already_final' }]);
  await ended(t, ids, 4);
  worker.leave();
});

test('the settle is fenced by the token and by the mask: with either wrong, nothing of its flush is written', async (t) => {
  const coordinator = world.coordinator();
  const queueId = await world.queue('fenced');
  await world.submit(coordinator, queueId, newJobs(4, { queue: 'fenced' }));
  const [left, right] = [(await coordinator.claim(queueId, 2))!, (await coordinator.claim(queueId, 2))!];
  const bits = (text: string) => Bits.parse(text);
  const settling = ({ leaseId: id, secret }: typeof left, expected = '00') => ({ leaseId: id, secret, expected: bits(expected), add: bits('11') });
  const rows = [left, right].flatMap(({ leaseId: id, jobIds }) => jobIds.map((jobId) => ({ jobId, leaseId: id, attempt: 1, result: null, resultType: null, batchId: null })));
  for (const wrong of [settling({ ...right, secret: right.secret ^ 1n }), settling(right, '10'), settling({ ...right, leaseId: 999_999n })]) {
    const error = await t.throwsAsync(coordinator.store.settle([settling(left), wrong], rows, []));
    t.true(coordinator.store.isRefused(error));
    t.is(await world.count('outcome', 'job_id = any($1)', [rows.map(({ jobId }) => jobId)]), 0);
    t.is(await world.count('lease', 'queue_id = $1 and bit_count(settled) > 0', [queueId]), 0);
  }
  t.is(await coordinator.store.settle([settling(left), settling(right)], rows, []), undefined, 'all of them');
});

test('a failed report that is sent again never touches the next attempt', async (t) => {
  const { worker, lease, ids } = await holding(one, 2);
  const report = () => statuses(worker.report(lease.token, every(ids, failed({ retryDelayMs: 0 }))));
  const atOnce = await Promise.all([report(), report()]);
  ids.forEach((_, index) => t.deepEqual(atOnce.map((side) => side[index]).toSorted(), [ACCEPTED, DUPLICATE], 'in one flush'));
  await worker.gets(4);
  t.deepEqual(worker.jobs.slice(2).map(({ attempt }) => attempt), [2, 2]);
  t.deepEqual(await report(), [DUPLICATE, DUPLICATE]);
  t.deepEqual(await statuses(worker.report(lease.token, every(ids, succeeded()))), [DUPLICATE, DUPLICATE]);
  t.is(await world.count('attempt', 'job_id = any($1)', [ids]), 2);
  t.is(await world.count('outcome', 'job_id = any($1)', [ids]), 0);
  for (const next of worker.leases.slice(1)) {
    t.deepEqual(new Set(await worker.succeed(next)), new Set([ACCEPTED]));
  }
  await ended(t, ids, 4);
  worker.leave();
});

test('a release that is sent again is known as one', async (t) => {
  const { worker, lease, ids } = await holding(one, 3);
  t.deepEqual(await statuses(worker.report(lease.token, every(ids.slice(0, 2), released(60_000)))), [ACCEPTED, ACCEPTED]);
  t.deepEqual(await statuses(worker.report(lease.token, every(ids, released(60_000)))), [DUPLICATE, DUPLICATE, ACCEPTED]);
  t.deepEqual(await statuses(worker.report(lease.token, every(ids.slice(0, 1), succeeded()))), [LEASE_LOST], 'what it gave back it does not hold');
  t.is(await world.count('scheduled', 'job_id = any($1)', [ids]), 3);
  worker.leave();
});

/** An application's transaction that has completed a job in SQL, and stays open. */
async function completeInSql(lease: { token: string }, jobId: string): Promise<pg.Client> {
  const client = await world.client();
  await client.query('begin');
  await client.query('select skiplease.complete($1, $2)', [lease.token, jobId]);
  return client;
}

test('a long transaction that completes a job in SQL holds up no other job of its lease, and no other lease', async (t) => {
  const { worker, lease, ids } = await holding(one, 4);
  const beside = await holding(one, 2);
  const application = await completeInSql(lease, ids[0]!);
  const quick = [
    statuses(worker.report(lease.token, every([ids[1]!], succeeded()))),
    statuses(worker.report(lease.token, every([ids[2]!], failed({ permanent: true })))),
    beside.worker.succeed(beside.lease),
  ];
  t.deepEqual(await within(Promise.all(quick), 900, 'the others, while the transaction is open'), [[ACCEPTED], [ACCEPTED], [ACCEPTED, ACCEPTED]]);
  const moved = cancelJobs(pool, [ids[3]!], '', () => {});
  t.deepEqual((await within(moved, 900, 'a cancel, while the transaction is open'))[0]!.outcome, 'cancelled');
  await application.query('commit');
  await ended(t, [ids[0]!, ids[1]!], 4);
  [worker, beside.worker].forEach((each) => each.leave());
});

test('a report of a job that is being completed in SQL waits for it, alone, and is a duplicate', async (t) => {
  const { worker, lease, ids } = await holding(one, 2);
  const beside = await holding(one, 2);
  const application = await completeInSql(lease, ids[0]!);
  const caught = statuses(worker.report(lease.token, every([ids[0]!], succeeded())));
  await world.waitForLockWaits('settle');
  const others = [beside.worker.succeed(beside.lease), statuses(worker.report(lease.token, every([ids[1]!], succeeded())))];
  t.deepEqual(await within(Promise.all(others), 5_000, 'the others, while the transaction is open'), [[ACCEPTED, ACCEPTED], [ACCEPTED]]);
  await application.query('commit');
  t.deepEqual(await caught, [DUPLICATE], 'ACCEPTED only for what the outcome insert returned');
  await ended(t, ids, 4);
  [worker, beside.worker].forEach((each) => each.leave());
});

for (const kind of ['success', 'permanent failure'] as const) {
  test(`an outcome that came first makes a ${kind} a duplicate, and nothing else of it is written`, async (t) => {
    const { worker, lease, ids } = await holding(one, 3);
    const application = await completeInSql(lease, ids[1]!);
    const receipts = statuses(worker.report(lease.token, every(ids, kind === 'success' ? succeeded() : failed({ permanent: true }))));
    await world.waitForLockWaits(kind === 'success' ? 'settle' : 'mend');
    await application.query('commit');
    t.deepEqual(await receipts, [ACCEPTED, DUPLICATE, ACCEPTED]);
    t.is(await world.count('attempt', 'job_id = $1', [ids[1]]), 0);
    await ended(t, [ids[1]!], 4);
    await ended(t, [ids[0]!, ids[2]!], kind === 'success' ? 4 : 5);
    worker.leave();
  });
}

test('a failure for good of a job that is being failed for good in SQL waits for it, and is a duplicate', async (t) => {
  const { worker, lease, ids } = await holding(one, 1);
  const application = await world.client();
  await application.query('begin');
  await application.query(`select skiplease.fail($1, $2, 'BROKEN', permanent => true)`, [lease.token, ids[0]!]);
  const caught = statuses(worker.report(lease.token, every(ids, failed({ permanent: true }))));
  await world.waitForLockWaits('mend');
  await application.query('commit');
  t.deepEqual(await caught, [DUPLICATE]);
  await ended(t, ids, 5);
  worker.leave();
});

test('what gives a lease back waits for nobody, comes back for it, and leaves out what was completed in SQL', async (t) => {
  const { worker, lease, ids } = await holding(one, 3);
  const beside = await holding(one, 2);
  const application = await completeInSql(lease, ids[1]!);
  worker.leave();
  beside.worker.leave();
  const at = (list: string[]) => world.rows('select job_id, attempt from skiplease.ready where job_id = any($1) order by "position"', [list]);
  await waitFor(async () => (await at(beside.ids)).length === 2, { deadlineMs: 900, what: 'the other lease, while the transaction is open' });
  t.deepEqual(await at(ids), []);
  await application.query('commit');
  await waitFor(async () => (await at(ids)).length > 0, { deadlineMs: 3_000, what: 'the lease that had to be skipped' });
  t.deepEqual(await at(ids), [{ job_id: ids[0], attempt: 1 }, { job_id: ids[2], attempt: 1 }]);
  await ended(t, [ids[1]!], 4);
  await waitFor(async () => (await world.count('lease', 'id = $1', [leaseId(lease)])) === 0, { deadlineMs: 3_000, what: 'the lease to be swept: all its bits are set' });
});

test('leases are locked in the order of their ids, by whatever wants several', async (t) => {
  type Held = Awaited<ReturnType<typeof holding>>;
  const report = ({ worker, lease, ids }: Held) => worker.report(lease.token, every(ids, failed({ permanent: true })));
  const wants: [string, string, (low: Held, high: Held) => Promise<unknown>][] = [
    ['settle', 'settle', (low, high) => Promise.all([high.worker.succeed(high.lease), low.worker.succeed(low.lease)])],
    ['settle carefully', 'mend', (low, high) => Promise.all([report(high), report(low)])],
    ['cancel', 'ordinary', (low, high) => cancelJobs(pool, [...high.ids, ...low.ids], '', () => {})],
    ['resume', 'rare', (low, high) => new TestWorker(two.engine).hello({ held: [high.lease.token, low.lease.token], queues: ['none'] })],
  ];
  for (const [what, purpose, want] of wants) {
    const [low, high] = [await holding(one, 1), await holding(one, 1)];
    t.true(BigInt(leaseId(low.lease)) < BigInt(leaseId(high.lease)));
    const holder = await lockLease(low.lease, 'update');
    const done = want(low, high);
    await world.waitForLockWaits(purpose);
    const other = await world.client();
    await t.notThrowsAsync(
      other.query('select 1 from skiplease.lease where id = $1 for update nowait', [leaseId(high.lease)]), `${what}: the higher one is free while it waits`);
    await holder.query('rollback');
    await t.notThrowsAsync(done, what);
  }
});

test('what waits to settle holds nothing that it took to give back', async (t) => {
  const [settling, giving] = [await holding(one, 1), await holding(one, 1)];
  const holder = await lockLease(settling.lease, 'no key update');
  const receipts = Promise.all([
    settling.worker.report(settling.lease.token, every(settling.ids, failed({ permanent: true }))),
    giving.worker.report(giving.lease.token, every(giving.ids, failed({ retryDelayMs: 60_000 }))),
  ]);
  await world.waitForLockWaits('mend');
  const other = await world.client();
  await t.notThrowsAsync(other.query('select 1 from skiplease.lease where id = $1 for update nowait', [leaseId(giving.lease)]));
  await holder.query('rollback');
  t.deepEqual((await receipts).flat().map(({ status }) => status), [ACCEPTED, ACCEPTED]);
});
