/** Partitions are there before they are needed; and where the clock has run away from them, they are made when they are. */
import test from 'ava';
import { v7 as uuidv7 } from 'uuid';
import pg from 'pg';
import { systemClock } from '../../coordinator/clock.ts';
import { ensurePartitions, partitionMs } from '../../coordinator/store/partitions.ts';
import { newJob, newJobs, rowsOf } from '../support/store_jobs.ts';
import { failed, startEngine, succeeded, TestWorker } from '../support/store_engine.ts';
import { StoreWorld } from '../support/store_world.ts';
import { waitFor } from '../support/wait.ts';

const TABLES = ['job', 'outcome', 'attempt'];
/** By the default retention. */
const PARTITION_MS = partitionMs(7);

async function withWorld(run: (world: StoreWorld) => Promise<void>): Promise<void> {
  const world = await StoreWorld.open();
  try {
    await run(world);
  } finally {
    await world.close();
  }
}

/** The clock of the database, moved by so many days. */
const moveClock = (world: StoreWorld, days: number) => world.rows(`update skiplease.clock set "offset" = make_interval(days => $1)`, [days]);
const nowMs = async (world: StoreWorld) => Number(await world.value<string>('select extract(epoch from skiplease.now()) * 1000'));
const idOf = (ms: number) => uuidv7({ msecs: Math.floor(ms) });

/** Where each table's partitions begin and end, in order; null: open. */
async function bounds(world: StoreWorld, table: string): Promise<[number | null, number][]> {
  const rows = await world.rows<{ from_ms: number | null; to_ms: number }>(
    `select extract(epoch from skiplease.uuid_time(substring(bound from 'FROM \\(''([0-9a-f-]{36})''')::uuid))::float8 * 1000 as from_ms,
            extract(epoch from skiplease.uuid_time(substring(bound from 'TO \\(''([0-9a-f-]{36})''')::uuid))::float8 * 1000 as to_ms
       from (select pg_get_expr(c.relpartbound, c.oid) as bound from pg_inherits i join pg_class c on c.oid = i.inhrelid
              where i.inhparent = $1::regclass) b order by 2`, [`skiplease.${table}`]);
  return rows.map(({ from_ms: from, to_ms: to }) => [from === null ? null : Math.round(from), Math.round(to)]);
}

/** A client of its own, as each coordinator has one for this. */
async function ensure(world: StoreWorld): Promise<void> {
  const client = new pg.Client({ connectionString: world.url });
  await client.connect();
  await ensurePartitions(client).finally(() => client.end());
}

test('each table has partitions for all of the past, for today and for two days to come, without a gap', async (t) => {
  await withWorld(async (world) => {
    const today = Math.floor((await nowMs(world)) / PARTITION_MS) * PARTITION_MS;
    for (const table of TABLES) {
      // The database may have been made before midnight.
      const [[, first]] = (await bounds(world, table)) as [[null, number]];
      t.true(first === today || first === today - PARTITION_MS);
      const days = Array.from({ length: 3 }, (_, day) => first + day * PARTITION_MS);
      t.deepEqual((await bounds(world, table)).slice(0, 4), [[null, first], ...days.map((from) => [from, from + PARTITION_MS] as [number, number])], table);
    }
    t.is(await world.value(`select count(*)::int from pg_class where relispartition and pg_get_expr(relpartbound, oid) = 'DEFAULT'`), 0);
    await ensure(world);
    const before = (await bounds(world, 'job')).length;
    await ensure(world);
    t.is((await bounds(world, 'job')).length, before, 'nothing to do: nothing done');
    await moveClock(world, 1);
    await ensure(world);
    t.is((await bounds(world, 'job')).at(-1)![1], today + 4 * PARTITION_MS, 'again two ahead');
  });
});

test('ids of the last day and of the next five minutes land', async (t) => {
  await withWorld(async (world) => {
    const { store } = world.coordinator();
    const queueId = await world.queue();
    const now = await nowMs(world);
    const jobs = [-24 * 3_600_000, -3_600_000, 0, 300_000].map((ms) => newJob({ id: idOf(now + ms) }));
    t.deepEqual((await store.submit(rowsOf(queueId, jobs))).existingIds, []);
    t.is(await world.count('job'), 4);
    t.deepEqual((await store.submit(rowsOf(queueId, jobs))).existingIds.toSorted(), jobs.map(({ id }) => id).toSorted());
  });
});

test('the clock has run past the last partition: submit, hand-off, settle and failed attempts make what they need', async (t) => {
  await withWorld(async (world) => {
    const { engine, stop } = await startEngine(world.url, { leaseTtlMs: 3_000_000, tickMs: 60_000 });
    try {
      const worker = new TestWorker(engine);
      await worker.hello();
      // Held since before the clock ran away.
      await engine.submit([newJob(), newJob()]);
      await worker.gets(2);
      const idsOf = async (count: number) => {
        const now = await nowMs(world);
        return Array.from({ length: count }, () => newJob({ id: idOf(now) }));
      };

      await moveClock(world, 20);
      t.true((await bounds(world, 'job')).at(-1)![1] < (await nowMs(world)));
      const handed = await idsOf(3);
      t.deepEqual(await engine.submit(handed), { existingIds: [] }, 'handed off');
      await worker.gets(5);
      t.true((await bounds(world, 'job')).at(-1)![1] > (await nowMs(world)) + 2 * PARTITION_MS);

      await moveClock(world, 40);
      worker.session.draining = true;
      const waiting = await idsOf(3);
      t.deepEqual(await engine.submit(waiting), { existingIds: [] }, 'to ready');
      t.is(await world.count('ready'), 3);

      await moveClock(world, 60);
      const repeated = await idsOf(2);
      const both = await Promise.all([engine.submit([repeated[0]!, repeated[0]!]), engine.submit([repeated[1]!])]);
      t.deepEqual(both, [{ existingIds: [repeated[0]!.id] }, { existingIds: [] }], 'each caller in turn');

      await moveClock(world, 80);
      const [first, second] = worker.leases.flatMap((lease) => lease.jobs.map(({ id }) => ({ id, token: lease.token })));
      const followUps = await idsOf(1);
      const statuses = await worker.report(first!.token, [{ jobId: first!.id, move: { kind: 'succeed', result: null, resultType: null, followUps } }]);
      t.deepEqual(statuses.map(({ status, message }) => [status, message]), [[1, '']], 'a job that follows');
      t.is(await world.count('job', 'id = $1', [followUps[0]!.id]), 1);
      t.is((await worker.report(second!.token, [{ jobId: second!.id, move: failed({ permanent: true }) }]))[0]!.status, 1);
      for (const lease of worker.leases.slice(-1)) {
        t.deepEqual((await worker.report(lease.token, lease.jobs.map(({ id }) => ({ jobId: id, move: succeeded() })))).map(({ status }) => status), lease.jobs.map(() => 1));
      }
      t.is((await bounds(world, 'job')).length, 4 + 4 * 4, 'one wide partition for each time that nobody was here, one for the day, two ahead');
      worker.leave();
    } finally {
      await stop();
    }
  });
});

test('an outcome or an attempt whose own table lags behind is written, not refused', async (t) => {
  await withWorld(async (world) => {
    const { engine, stop } = await startEngine(world.url, { leaseTtlMs: 3_000_000, tickMs: 60_000 });
    try {
      const worker = new TestWorker(engine);
      await worker.hello();
      await engine.submit(newJobs(2));
      await worker.gets(2);
      // As when a coordinator died between making one table's partitions and the next's.
      const today = new Date(Math.floor((await nowMs(world)) / PARTITION_MS) * PARTITION_MS).toISOString().slice(0, 10).replaceAll('-', '');
      for (const table of ['outcome', 'attempt']) {
        const names = await world.rows<{ name: string }>(
          `select c.relname as name from pg_inherits i join pg_class c on c.oid = i.inhrelid where i.inhparent = $1::regclass and c.relname >= $2`, [`skiplease.${table}`, `${table}_${today}`]);
        for (const { name } of names.filter((row) => !row.name.includes('before'))) await world.rows(`drop table skiplease.${name}`);
      }
      const lease = worker.leases[0]!;
      const receipts = await worker.report(lease.token, [{ jobId: lease.jobs[0]!.id, move: failed({ permanent: true }) }]);
      t.deepEqual(receipts.map(({ status, message }) => [status, message]), [[1, '']]);
      t.is(await world.count('attempt'), 1);
      t.is(await world.count('outcome'), 1);
      worker.leave();
    } finally {
      await stop();
    }
  });
});

test('several coordinators make partitions at once: each is made once, and nobody fails', async (t) => {
  await withWorld(async (world) => {
    await moveClock(world, 5);
    const stores = Array.from({ length: 4 }, () => world.coordinator().store);
    await t.notThrowsAsync(Promise.all([...stores.map((store) => store.ensurePartitions()), ensure(world)]));
    t.is((await bounds(world, 'attempt')).length, 4 + 4, 'as if one had');
    await moveClock(world, 9);
    const queueId = await world.queue();
    const now = await nowMs(world);
    await Promise.all(stores.map((store) => store.submit(rowsOf(queueId, [newJob({ id: idOf(now) })]))));
    t.is(await world.count('job'), 4);
  });
});

// By itself: it moves the clock of all that run in this process.
test.serial('the housekeeping keeps two days ahead', async (t) => {
  await withWorld(async (world) => {
    const engine = await startEngine(world.url, { leaseTtlMs: 30_000, tickMs: 100 });
    t.teardown(() => engine.stop());
    await moveClock(world, 2);
    // It looks every ten minutes, by this process's clock.
    const real = systemClock.nowMs;
    systemClock.nowMs = () => real() + 660_000;
    t.teardown(() => {
      systemClock.nowMs = real;
    });
    await waitFor(async () => (await bounds(world, 'job')).at(-1)![1] > (await nowMs(world)) + 2 * PARTITION_MS, { deadlineMs: 5_000, what: 'the next partitions' });
    t.pass();
    await engine.stop();
  });
});
