/** What is scheduled comes when it is due, by the database's clock; what fails comes again after its backoff, so many times. */
import anyTest from 'ava';
import { newJob, newJobs } from '../support/store_jobs.ts';
import { failed, released, startEngine, succeeded, TestWorker, type TestEngine } from '../support/store_engine.ts';
import { StoreWorld } from '../support/store_world.ts';
import { waitFor } from '../support/wait.ts';

const test = anyTest.serial;
/** Rare, so that nothing here is found by it. */
const TICK_MS = 10_000;

let world: StoreWorld;
let one: TestEngine;
let queues = 0;

anyTest.before(async () => {
  world = await StoreWorld.open();
  one = await startEngine(world.url, { leaseTtlMs: 40_000, tickMs: TICK_MS });
});

anyTest.after.always(async () => {
  await one?.stop();
  await world?.close();
});

async function waiting(settings: Record<string, number> = {}, jobs = 100): Promise<{ queue: string; worker: TestWorker }> {
  queues += 1;
  const queue = `q${queues}`;
  await world.queue(queue);
  for (const [column, value] of Object.entries(settings)) {
    await world.rows(`update skiplease.queue set ${column} = $1 where name = $2`, [value, queue]);
  }
  const worker = new TestWorker(one.engine);
  await worker.hello({ queues: [queue], jobs });
  return { queue, worker };
}

const report = (worker: TestWorker, jobId: string, move: Parameters<TestWorker['report']>[1][0]['move']) => {
  const lease = worker.leases.findLast(({ jobs }) => jobs.some(({ id }) => id === jobId))!;
  return worker.report(lease.token, [{ jobId, move }]).then(([receipt]) => receipt!.status);
};

test('scheduled jobs come in turn, none before its time and none much later, though the tick is rare', async (t) => {
  const { queue, worker } = await waiting();
  const startMs = one.engine.nowMs() + 200;
  const jobs = Array.from({ length: 12 }, (_, index) => newJob({ queue, runAtMs: startMs + index * 40 }));
  await one.engine.submit(jobs.toReversed());
  await worker.gets(12, 3_000);
  const rows = await world.rows<{ late_ms: number }>(
    `select date_part('epoch', l.granted_at - j.run_at) * 1000 as late_ms
       from skiplease.job j join skiplease.lease l on j.id = any(l.job_ids) where j.queue_id = $1`, [await world.queue(queue)]);
  t.is(rows.length, 12);
  t.deepEqual(rows.filter(({ late_ms: late }) => late < 0), [], 'by the database\'s clock');
  t.log(rows.map(({ late_ms: late }) => Math.round(late)));
  t.true(Math.max(...rows.map(({ late_ms: late }) => late)) < 1_000);
  worker.leave();
});

test('an earlier job that is scheduled later is not kept waiting by the one before', async (t) => {
  const { queue, worker } = await waiting();
  const now = one.engine.nowMs();
  await one.engine.submit([newJob({ queue, runAtMs: now + 3_600_000 })]);
  await one.engine.submit([newJob({ queue, runAtMs: now + 150 })]);
  await worker.gets(1, 1_500);
  t.is(worker.jobs.length, 1);
  worker.leave();
});

test('time is what the database says: its clock moved an hour on, what was due in an hour is due', async (t) => {
  const fast = await startEngine(world.url, { leaseTtlMs: 40_000, tickMs: 100 });
  t.teardown(() => fast.stop());
  queues += 1;
  const queue = `q${queues}`;
  const worker = new TestWorker(fast.engine);
  await worker.hello({ queues: [queue] });
  const job = newJob({ queue, runAtMs: fast.engine.nowMs() + 3_500_000 });
  await fast.engine.submit([job]);
  const before = fast.engine.nowMs();
  await world.rows(`update skiplease.clock set "offset" = '1 hour'`);
  t.is((await worker.gets(1, 3_000))[0]!.id, job.id);
  await waitFor(() => fast.engine.nowMs() - before >= 3_600_000, { deadlineMs: 2_000, what: 'the coordinator to know the new time' });
  await worker.succeed(worker.leases[0]!);
  t.true(await world.value<boolean>(`select finished_at > now() + interval '59 minutes' from skiplease.outcome where job_id = $1`, [job.id]));
  await world.rows(`update skiplease.clock set "offset" = '0'`);
  worker.leave();
});

test('a failed job comes again after a delay that doubles, as often as its queue says, and each try is kept with its error', async (t) => {
  const { queue, worker } = await waiting({ max_attempts: 3, backoff_initial_ms: 40, backoff_factor: 2, backoff_jitter: 0 });
  const job = newJob({ queue });
  await one.engine.submit([job]);
  for (let attempt = 1; attempt <= 3; attempt += 1) {
    await worker.gets(attempt, 3_000);
    t.is(worker.jobs.at(-1)!.attempt, attempt);
    t.is(worker.jobs.at(-1)!.maxAttempts, 3);
    t.is(await report(worker, job.id, failed({ code: `E${attempt}`, message: `try ${attempt}`, details: '{"a":1}' })), 1);
  }
  t.deepEqual(await world.rows('select number, state, worker_id, error_code, error_message, error_details from skiplease.attempt where job_id = $1 order by number', [job.id]),
    [1, 2, 3].map((number) => ({ number, state: 1, worker_id: 'w', error_code: `E${number}`, error_message: `try ${number}`, error_details: '{"a":1}' })));
  t.deepEqual(await world.rows('select state, attempt from skiplease.outcome where job_id = $1', [job.id]), [{ state: 5, attempt: 3 }]);
  t.is(await world.count('scheduled', 'job_id = $1', [job.id]) + (await world.count('ready', 'job_id = $1', [job.id])), 0);
  const waits = await world.rows<{ ms: number }>(
    `select date_part('epoch', started_at - lag(ended_at) over (order by number)) * 1000 as ms from skiplease.attempt where job_id = $1 order by number`, [job.id]);
  t.true(waits[1]!.ms >= 40 && waits[2]!.ms >= 80, waits.map(({ ms }) => ms).join());
  worker.leave();
});

test('a job\'s own number of attempts goes before its queue\'s', async (t) => {
  const { queue, worker } = await waiting({ max_attempts: 5 });
  const jobs = [newJob({ queue, maxAttempts: 1 }), newJob({ queue, maxAttempts: 7 })];
  await one.engine.submit(jobs);
  await worker.gets(2);
  for (const { id } of jobs) await report(worker, id, failed());
  t.is(await world.count('outcome', 'job_id = $1 and state = 5', [jobs[0]!.id]), 1);
  t.is(await world.count('scheduled', 'job_id = $1 and attempt = 2', [jobs[1]!.id]), 1);
  worker.leave();
});

test('delays are spread by the jitter, and never above the maximum with it', async (t) => {
  const { queue, worker } = await waiting({ backoff_initial_ms: 60_000, backoff_max_ms: 100_000, backoff_jitter: 0.5 });
  const jobs = newJobs(40, { queue });
  await one.engine.submit(jobs);
  await worker.gets(40);
  for (const lease of worker.leases) await worker.report(lease.token, lease.jobs.map(({ id }) => ({ jobId: id, move: failed() })));
  const delays = (await world.rows<{ ms: number }>(
    `select date_part('epoch', s.run_at - a.ended_at) * 1000 as ms from skiplease.scheduled s join skiplease.attempt a using (job_id)
      where s.queue_id = $1`, [await world.queue(queue)])).map(({ ms }) => Math.round(ms));
  t.is(delays.length, 40);
  t.true(delays.every((ms) => ms >= 30_000 && ms <= 90_000), delays.join());
  t.true(Math.max(...delays) - Math.min(...delays) > 10_000, 'they do not all come back at once');
  worker.leave();
});

test('the worker\'s own delay goes before the backoff; a permanent failure ends the job; a release spends nothing', async (t) => {
  const { queue, worker } = await waiting({ backoff_initial_ms: 3_600_000 });
  const [later, never, back, snoozed] = newJobs(4, { queue });
  await one.engine.submit([later!, never!, back!, snoozed!]);
  await worker.gets(4);
  await report(worker, later!.id, failed({ retryDelayMs: 120_000 }));
  await report(worker, never!.id, failed({ permanent: true, code: 'NO' }));
  await report(worker, snoozed!.id, released(90_000, true));
  const runIn = async (id: string) => Math.round((await world.value<number>(`select date_part('epoch', run_at - skiplease.now()) from skiplease.scheduled where job_id = $1`, [id])) / 10) * 10;
  t.deepEqual([await runIn(later!.id), await runIn(snoozed!.id)], [120, 90]);
  t.deepEqual(await world.rows('select state, attempt from skiplease.outcome where job_id = $1', [never!.id]), [{ state: 5, attempt: 1 }]);
  t.deepEqual(await world.rows('select error_code from skiplease.attempt where job_id = $1', [never!.id]), [{ error_code: 'NO' }]);
  await report(worker, back!.id, released());
  await worker.gets(5);
  t.deepEqual([worker.jobs.at(-1)!.id, worker.jobs.at(-1)!.attempt], [back!.id, 1]);
  t.is(await world.count('attempt', 'job_id = any($1)', [[back!.id, snoozed!.id]]), 0);
  t.is(await report(worker, back!.id, succeeded()), 1);
  worker.leave();
});
