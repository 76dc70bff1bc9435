/** Partitions stand ready ahead of time, and are made on demand when time has run past the last one. */
import anyTest from 'ava';
import { v7 as uuidv7 } from 'uuid';
import { newJob, newJobs } from '../support/store_jobs.ts';
import { failed, startEngine, succeeded, TestWorker, type TestEngine } from '../support/store_engine.ts';
import { StoreWorld } from '../support/store_world.ts';
import { waitFor } from '../support/wait.ts';

const test = anyTest.serial;
const DAY_MS = 86_400_000;

let world: StoreWorld;
let one: TestEngine;
let two: TestEngine;

anyTest.before(async () => {
  world = await StoreWorld.open();
  one = await startEngine(world.url, { leaseTtlMs: 30_000, tickMs: 200 });
  two = await startEngine(world.url, { leaseTtlMs: 30_000, tickMs: 200 });
});

anyTest.after.always(async () => {
  await one?.stop();
  await two?.stop();
  await world?.close();
});

async function bounds(table: string): Promise<string[]> {
  const { rows } = await (await world.client()).query<{ bound: string }>(
    `select pg_get_expr(c.relpartbound, c.oid) as bound from pg_inherits i join pg_class c on c.oid = i.inhrelid
      where i.inhparent = ('skiplease.' || $1::text)::regclass order by 1`, [table]);
  return rows.map(({ bound }) => bound);
}

/** A job with an id of that moment. */
const jobOf = (ms: number, queue: string) => newJob({ id: uuidv7({ msecs: ms }), queue });

test('jobs with ids of up to a day ago land, as do those of the next minutes', async (t) => {
  const nowMs = Date.now();
  const jobs = [jobOf(nowMs - DAY_MS, 'ages'), jobOf(nowMs - DAY_MS / 2, 'ages'), jobOf(nowMs, 'ages'), jobOf(nowMs + 300_000, 'ages')];
  t.deepEqual(await one.engine.submit(jobs), { existingIds: [] });
  t.is(await world.count('job', 'queue_id = $1', [await world.queue('ages')]), 4);
});

test('partitions stand ready two days ahead, whoever makes them, and also when several do at once', async (t) => {
  await (await world.client()).query(`update skiplease.clock set "offset" = interval '1 day'`);
  await Promise.all([one.store.ensurePartitions(), two.store.ensurePartitions(), one.store.ensurePartitions()]);
  const tomorrow = Math.floor(Date.now() / DAY_MS) * DAY_MS + DAY_MS;
  const lastEnd = (tomorrow + 3 * DAY_MS).toString(16).padStart(12, '0');
  for (const table of ['job', 'outcome', 'attempt']) {
    const all = await bounds(table);
    t.is(new Set(all).size, all.length);
    t.true(all.some((bound) => bound.includes(`TO ('${lastEnd.slice(0, 8)}-${lastEnd.slice(8)}`)), `${table}: ${all.join('; ')}`);
    t.false(all.some((bound) => bound.includes('DEFAULT')));
  }
});

test('a clock that has run past the last partition stops nobody: submit, success and failed attempt', async (t) => {
  await (await world.client()).query(`update skiplease.clock set "offset" = interval '40 days'`);
  const laterMs = Date.now() + 40 * DAY_MS;
  const jobs = [jobOf(laterMs, 'later'), jobOf(laterMs, 'later')];
  await one.engine.submit(jobs);
  const worker = new TestWorker(two.engine);
  await worker.hello({ queues: ['later'] });
  await waitFor(() => worker.leases.flatMap((lease) => lease.jobs).length === 2, { deadlineMs: 15_000, what: 'both jobs' });
  const receipts = [];
  for (const lease of worker.leases) {
    receipts.push(...(await worker.report(lease.token, lease.jobs.map(({ id }) => ({ jobId: id, move: id === jobs[0]!.id ? succeeded() : failed({ permanent: true }) })))));
  }
  t.deepEqual(receipts.map(({ status }) => status), [1, 1]);
  t.is(await world.count('outcome', 'job_id = any($1)', [jobs.map(({ id }) => id)]), 2);
  t.is(await world.count('attempt', 'job_id = any($1)', [jobs.map(({ id }) => id)]), 1);
});

test('a hand-off past the last partition makes it, too', async (t) => {
  await (await world.client()).query(`update skiplease.clock set "offset" = interval '90 days'`);
  const worker = new TestWorker(one.engine);
  await worker.hello({ queues: ['handed'] });
  const jobs = newJobs(3, { queue: 'handed' }).map((job) => ({ ...job, id: uuidv7({ msecs: Date.now() + 90 * DAY_MS }) }));
  await one.engine.submit(jobs);
  await waitFor(() => worker.leases.flatMap((lease) => lease.jobs).length === 3, { deadlineMs: 15_000, what: 'the jobs' });
  t.true(one.statements.includes('hand_off'));
});
