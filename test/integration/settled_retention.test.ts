/** Old partitions are dropped, what must stay stays, and nobody is held up for it. */
import anyTest from 'ava';
import { v7 as uuidv7 } from 'uuid';
import { cancelJobs } from '../../coordinator/store/cancel_jobs.ts';
import { getJobs } from '../../coordinator/store/get_jobs.ts';
import { PARTITIONS_MAX, partitionMs } from '../../coordinator/store/partitions.ts';
import { openPool } from '../../coordinator/store/pool.ts';
import { retryJobs } from '../../coordinator/store/retry_jobs.ts';
import type { NewJob } from '../../coordinator/types.ts';
import { failed, startEngine, succeeded, TestWorker } from '../support/store_engine.ts';
import { newJob, newJobs, rowsOf } from '../support/store_jobs.ts';
import { carryOverAll, databaseNowMs, letDaysPass, partitionsOf, startRetirer } from '../support/store_retention.ts';
import { StoreWorld } from '../support/store_world.ts';
import { waitFor, within } from '../support/wait.ts';

const test = anyTest;
const DAY_MS = 86_400_000;
const HOUR_MS = 3_600_000;
const RETENTION = { days: 2, failedDays: 5 };

/** A world where a day, and with it a partition, has just begun. */
async function withWorld(run: (world: StoreWorld) => Promise<void>): Promise<void> {
  const world = await StoreWorld.open();
  try {
    const nowMs = await databaseNowMs(world);
    await letDaysPass(world, world.coordinator().store, 1 - (nowMs % DAY_MS) / DAY_MS);
    await run(world);
  } finally {
    await world.close();
  }
}

/** A step that gives up where a lock, or its time, was not to be had: tried again, as the retirer does. */
function done<Result>(step: () => Promise<Result>): Promise<Exclude<Result, undefined | null | false>> {
  return waitFor(step, { deadlineMs: 20_000, what: 'a step of the retirement' });
}

/** Sorted, as `there` gives them. */
const idsOf = (jobs: { id: string }[]) => jobs.map(({ id }) => id).toSorted();

/** Submits jobs made now by the database's clock. */
async function submitNow(world: StoreWorld, submit: (jobs: NewJob[]) => Promise<unknown>, count: number, fields: Partial<NewJob> = {}): Promise<NewJob[]> {
  const msecs = Math.floor(await databaseNowMs(world));
  const jobs = newJobs(count, fields).map((job) => ({ ...job, id: uuidv7({ msecs }) }));
  await submit(jobs);
  return jobs;
}

async function there(world: StoreWorld, table = 'job', column = 'id'): Promise<string[]> {
  return (await world.rows<{ id: string }>(`select distinct ${column} as id from skiplease.${table} order by 1`)).map(({ id }) => id);
}

test('jobs of every state, a week later: the final ones are gone, FAILED ones a little later, and all others still run', async (t) => {
  await withWorld(async (world) => {
    const { engine, store, stop } = await startEngine(world.url, { leaseTtlMs: 3_000_000, tickMs: 60_000 });
    const retirer = startRetirer(world.url, RETENTION);
    const pool = await openPool(world.url);
    try {
      const submit = (jobs: NewJob[]) => engine.submit(jobs);
      const worker = new TestWorker(engine);
      await worker.hello();
      const takes = async (count: number, fields: Partial<NewJob> = {}) => {
        const before = worker.leases.length;
        const had = worker.jobs.length;
        const jobs = await submitNow(world, submit, count, fields);
        await worker.gets(had + count);
        return { jobs, leases: worker.leases.slice(before) };
      };
      const ends = async (leases: TestWorker['leases'], move: Parameters<TestWorker['report']>[1][number]['move']) => {
        for (const { token, jobs } of leases) await worker.report(token, jobs.map(({ id }) => ({ jobId: id, move })));
      };
      const good = await takes(20, { payload: Buffer.alloc(20_000, 'x') });
      await ends(good.leases, succeeded());
      const bad = await takes(3);
      await ends(bad.leases, failed({ permanent: true }));
      const backingOff = await takes(2);
      await ends(backingOff.leases, failed({ retryDelayMs: 3 * DAY_MS }));
      const held = await takes(2);
      const waiting = await submitNow(world, submit, 3, { queue: 'nobody' });
      const cancelled = await submitNow(world, submit, 2, { queue: 'nobody' });
      await cancelJobs(pool, idsOf(cancelled), 'no more', () => {});
      const scheduled = await submitNow(world, submit, 2, { runAtMs: (await databaseNowMs(world)) + 20 * DAY_MS });
      const [retriedAs] = await retryJobs(pool, [{ originId: bad.jobs[0]!.id, newId: uuidv7({ msecs: Math.floor(await databaseNowMs(world)) }) }],
        { maxAttempts: null, startMs: (await databaseNowMs(world)) + 20 * DAY_MS, spacingMs: 0, first: 0 });

      await retirer.run();
      t.deepEqual(retirer.dropped(), [], 'nothing is old');

      const nowMs = await databaseNowMs(world);
      const old = (await partitionsOf(world)).filter(({ fromMs }) => fromMs !== null && fromMs <= nowMs).map(({ name }) => name);
      const ours = `skiplease.${old.at(-1)!}`;
      const file = await world.value<string>('select pg_relation_filepath($1)', [ours]);
      await letDaysPass(world, store, 3.5);
      // It ends now, on a day when others of its age are forgotten.
      await worker.report(held.leases[0]!.token, [{ jobId: held.jobs[0]!.id, move: succeeded() }]);
      await retirer.run();
      t.is(retirer.dropped().length, 1);
      t.like(retirer.dropped()[0], { partitions: old, jobs_carried_over: 3 + 2 + 2 + 3 + 2 + 1 });
      t.true(retirer.dropped()[0]!.bytes_returned > 20 * 20_000);
      t.is(await world.value<string | null>('select to_regclass($1)', [ours]), null);
      t.true([null, '0'].includes(await world.value<string | null>('select size from pg_stat_file($1, true)', [file])), 'its file is gone, or empty until the next checkpoint');
      t.deepEqual(await there(world), idsOf([...bad.jobs, ...backingOff.jobs, ...held.jobs, ...waiting, ...scheduled, { id: retriedAs!.jobId! }]));
      t.deepEqual(await there(world, 'outcome', 'job_id'), idsOf([...bad.jobs, held.jobs[0]!]));
      t.deepEqual(await there(world, 'attempt', 'job_id'), idsOf([...bad.jobs, ...backingOff.jobs]), 'with their history');
      t.is(await world.count('retried'), 1);
      const scraped = (await retirer.metrics.scrape()).split('\n');
      t.true(scraped.includes(`skiplease_dropped_partitions_total ${old.length}`));
      t.true(scraped.includes('skiplease_carried_over_jobs_total 13'));
      t.true(scraped.some((line) => line.startsWith('skiplease_oldest_partition_seconds ')));

      t.deepEqual((await worker.report(held.leases.at(-1)!.token, [{ jobId: held.jobs[1]!.id, move: succeeded() }])).map(({ status }) => status), [1]);
      const second = new TestWorker(engine);
      await second.hello({ queues: ['nobody'] });
      await second.gets(3);
      for (const lease of second.leases) await second.succeed(lease);

      await world.rows(`insert into skiplease.batch (id, label, created_at, finished_at) values ($1, '', skiplease.now(), skiplease.now())`, [uuidv7()]);
      // More than one step deletes.
      await world.rows(`insert into skiplease.retried (origin_id, job_id)
        select ('00000000-0000-7000-8000-' || lpad(to_hex(i), 12, '0'))::uuid, gen_random_uuid() from generate_series(1, 2500) i`);
      await letDaysPass(world, store, 3.5);
      await retirer.run();
      t.deepEqual(retirer.log.lines.filter(({ level }) => level === 'warn'), []);
      t.is(retirer.dropped().length, 2);
      t.deepEqual(await there(world), idsOf([...backingOff.jobs, ...scheduled, { id: retriedAs!.jobId! }]), 'FAILED ones are gone, and those that ended later');
      t.is(await world.count('retried'), 0, 'what only belonged to them, too');
      t.is(await world.count('batch'), 0);
      t.deepEqual(await retryJobs(pool, [{ originId: bad.jobs[0]!.id, newId: uuidv7() }], { maxAttempts: null, startMs: 0, spacingMs: 0, first: 0 }),
        [{ originId: bad.jobs[0]!.id, outcome: 'not_found', jobId: undefined }]);

      worker.leave();
      second.leave();
      await letDaysPass(world, store, 20);
      await store.promote();
      const lastLease = await world.coordinator().claim(await world.queue(), 100);
      t.deepEqual(lastLease!.jobIds.toSorted(), await there(world), 'all that is left is due, and found');
      t.is((await getJobs(pool, lastLease!.jobIds)).length, 5);
    } finally {
      await pool.end();
      await retirer.stop();
      await stop();
    }
  });
});

test('what is written to old partitions while their jobs are carried over is carried over', async (t) => {
  await withWorld(async (world) => {
    const { engine, store, stop } = await startEngine(world.url, { leaseTtlMs: 3_000_000, tickMs: 60_000 });
    const retirer = startRetirer(world.url, RETENTION);
    try {
      const worker = new TestWorker(engine);
      await worker.hello();
      const old = await submitNow(world, (jobs) => engine.submit(jobs), 8);
      await worker.gets(8);
      const tokenOf = (id: string) => worker.leases.find(({ jobs }) => jobs.some((job) => job.id === id))!.token;
      const ends = async (index: number, move: ReturnType<typeof failed>) => {
        const { id } = old[index]!;
        t.is((await worker.report(tokenOf(id), [{ jobId: id, move }]))[0]!.status, 1);
      };
      await letDaysPass(world, store, 4);
      const retirement = (await retirer.store.retire())!;
      t.is(await retirer.store.retire(), undefined, 'one at a time');
      await ends(0, succeeded());
      await done(() => retirement.prepare());
      await ends(1, succeeded());
      await ends(2, failed({ retryDelayMs: DAY_MS }));
      t.false((await done(() => retirement.carryOver(3))).done);
      await ends(3, succeeded());
      await ends(4, failed({ retryDelayMs: DAY_MS }));
      await carryOverAll(retirement);
      await ends(5, succeeded());
      await ends(6, failed({ permanent: true }));
      // Older than any submit may be: written all the same, it must not be lost.
      const late = { ...old[0]!, id: `${old[0]!.id.slice(0, 24)}ffffffffffff` };
      await store.submit(rowsOf(await world.queue(), [late]));
      await done(() => retirement.swap());
      await ends(7, succeeded());
      while (await retirement.forget());
      await retirement.close();

      t.deepEqual(await there(world), idsOf([...old, late]));
      t.deepEqual(await there(world, 'outcome', 'job_id'), idsOf([0, 1, 3, 5, 6, 7].map((index) => old[index]!)));
      t.deepEqual(await there(world, 'attempt', 'job_id'), idsOf([2, 4, 6].map((index) => old[index]!)));
      worker.leave();
    } finally {
      await retirer.stop();
      await stop();
    }
  });
});

test('a transaction that stays open delays it, and stops nothing', async (t) => {
  await withWorld(async (world) => {
    const { engine, store, stop } = await startEngine(world.url, { leaseTtlMs: 3_000_000, tickMs: 60_000 });
    const retirer = startRetirer(world.url, RETENTION);
    const pool = await openPool(world.url);
    try {
      const worker = new TestWorker(engine);
      await worker.hello({ jobs: 1_000 });
      const submit = (jobs: NewJob[]) => engine.submit(jobs);
      const [unfinished] = await submitNow(world, submit, 1, { queue: 'nobody' });
      await letDaysPass(world, store, 4);

      // As an application that reads, and forgets to commit.
      const reader = await world.client();
      await reader.query('begin');
      await reader.query('select count(*) from skiplease.job, skiplease.outcome, skiplease.attempt');
      const running = retirer.run();
      const copied = () => world.value<number>(`select count(*)::int from pg_class where relkind = 'r' and relname ~ '^(job|outcome|attempt)_before_' and not relispartition`);
      await waitFor(async () => (await copied()) === 3, { deadlineMs: 5_000, what: 'it to begin' });
      let tries = 0;
      let maxMs = 0;
      for (const until = performance.now() + 1_500; performance.now() < until; tries += 1) {
        const started = performance.now();
        const [job] = await submitNow(world, submit, 1);
        await worker.gets(tries + 1);
        await worker.succeed(worker.leases.find(({ jobs }) => jobs[0]!.id === job!.id)!);
        await getJobs(pool, [job!.id, unfinished!.id]);
        maxMs = Math.max(maxMs, performance.now() - started);
      }
      t.log(`${tries} jobs through, the slowest in ${maxMs.toFixed()} ms`);
      t.true(maxMs < 5_000, `${maxMs} ms from submit to the end of a job`);
      t.deepEqual(retirer.dropped(), []);
      await reader.query('commit');
      await within(running, 10_000, 'the end of it');
      t.is(retirer.dropped().length, 1);

      // As an application that completes an old job in its own transaction.
      await letDaysPass(world, store, 1.2);
      const writer = await world.client();
      await writer.query('begin');
      const retirement = (await retirer.store.retire())!;
      await writer.query('insert into skiplease.outcome (job_id, finished_at, state, attempt) values ($1, skiplease.now(), 4, 1)', [unfinished!.id]);
      t.true(retirement.expired.length > 0);
      t.false(await retirement.prepare(), 'what it wrote would be missed');
      await writer.query('commit');
      await done(() => retirement.prepare());
      await carryOverAll(retirement);
      await writer.query('begin');
      await writer.query('insert into skiplease.outcome (job_id, finished_at, state, attempt) values ($1, skiplease.now(), 4, 1) on conflict do nothing', [unfinished!.id]);
      t.false(await retirement.swap());
      t.is(await world.count('outcome', 'job_id = $1', [unfinished!.id]), 1, 'nothing has changed');
      await writer.query('rollback');
      await done(() => retirement.swap());
      await retirement.close();
      t.is(await world.count('outcome', 'job_id = $1', [unfinished!.id]), 1);
      worker.leave();
    } finally {
      await pool.end();
      await retirer.stop();
      await stop();
    }
  });
});

test('coordinators side by side: each partition is dropped once', async (t) => {
  await withWorld(async (world) => {
    const { store } = world.coordinator();
    const queueId = await world.queue();
    const retirers = Array.from({ length: 4 }, () => startRetirer(world.url, RETENTION));
    try {
      const jobs = await submitNow(world, (made) => store.submit(rowsOf(queueId, made)), 50);
      for (let day = 0; day < 3; day += 1) {
        await letDaysPass(world, store, 1.5);
        await Promise.all(retirers.map((each) => each.run()));
      }
      const dropped = retirers.flatMap((each) => each.dropped()).flatMap(({ partitions }) => partitions);
      t.is(dropped.length, new Set(dropped).size);
      t.true(dropped.length >= 2);
      t.deepEqual(retirers.flatMap(({ log }) => log.lines.filter(({ level }) => level === 'warn')), []);
      t.deepEqual(await there(world), idsOf(jobs));
    } finally {
      await Promise.all(retirers.map((each) => each.stop()));
    }
  });
});

test('an id that is a day old is known, and lands, with the shortest retention', async (t) => {
  await withWorld(async (world) => {
    const { store } = world.coordinator();
    const queueId = await world.queue();
    const retirer = startRetirer(world.url, { days: 1, failedDays: 1 });
    try {
      await letDaysPass(world, retirer.store, 3);
      const made = await submitNow(world, (jobs) => store.submit(rowsOf(queueId, jobs)), 1);
      await world.rows('insert into skiplease.outcome (job_id, finished_at, state, attempt) values ($1, skiplease.now(), 4, 1)', [made[0]!.id]);
      // Whatever the time of day: a day and a moment later, several times.
      for (let hours = 0; hours < 24; hours += 6) {
        await letDaysPass(world, retirer.store, 6 / 24);
        await retirer.run();
        const lowestEndMs = (await partitionsOf(world))[0]!.toMs;
        t.true(lowestEndMs <= (await databaseNowMs(world)) - DAY_MS - HOUR_MS);
        t.deepEqual((await store.submit(rowsOf(queueId, made))).existingIds, idsOf(made));
        const dayOld = newJob({ id: uuidv7({ msecs: Math.floor((await databaseNowMs(world)) - DAY_MS) }) });
        t.deepEqual((await store.submit(rowsOf(queueId, [dayOld]))).existingIds, []);
      }
      t.true(retirer.dropped().length > 0);
    } finally {
      await retirer.stop();
    }
  });
});

test('however long jobs are kept, there are at most sixteen partitions', async (t) => {
  for (let days = 1; days <= 3_650; days += 1) {
    const width = partitionMs(days) / DAY_MS;
    // Just before one goes: those that hold what is kept, the one that is about to go, the one that is being filled, two ahead, the lowest.
    t.true(Math.ceil(days / width) + 1 + 1 + 2 + 1 <= PARTITIONS_MAX, `${days} days in partitions of ${width}`);
  }
  await withWorld(async (world) => {
    const retirer = startRetirer(world.url, { days: 30, failedDays: 30 });
    try {
      // Those that were made for another retention go first.
      await letDaysPass(world, retirer.store, 35);
      await retirer.run();
      let most = 0;
      for (let step = 0; step < 12; step += 1) {
        await letDaysPass(world, retirer.store, 3.3);
        most = Math.max(most, (await partitionsOf(world)).length);
        await retirer.run();
      }
      t.true(most <= PARTITIONS_MAX, String(most));
      t.true(retirer.dropped().length >= 3);
    } finally {
      await retirer.stop();
    }
  });
});
