/** A repeated id creates one job, and one place for it: never a second holder, whenever and wherever the repeat comes. */
import anyTest from 'ava';
import { SkipleaseError } from '../../coordinator/errors.ts';
import { LOCK_TIMEOUT_MS } from '../../coordinator/store/connection.ts';
import type { NewJob } from '../../coordinator/types.ts';
import { newJob, newJobs, rowsOf } from '../support/store_jobs.ts';
import { startEngine, TestWorker, type TestEngine } from '../support/store_engine.ts';
import { StoreWorld } from '../support/store_world.ts';
import { waitFor } from '../support/wait.ts';

// One after the other: a submit that waits holds up the next of its coordinator.
const test = anyTest.serial;

let world: StoreWorld;
let one: TestEngine;
let two: TestEngine;
let queues = 0;

anyTest.before(async () => {
  world = await StoreWorld.open();
  [one, two] = await Promise.all([startEngine(world.url, { leaseTtlMs: 30_000, tickMs: 200 }), startEngine(world.url, { leaseTtlMs: 30_000, tickMs: 200 })]);
});

anyTest.after.always(async () => {
  await Promise.all([one?.stop(), two?.stop()]);
  await world?.close();
});

/** Each test has a queue of its own. */
function newQueue(): string {
  queues += 1;
  return `q${queues}`;
}

interface Places {
  jobs: number;
  ready: number;
  scheduled: number;
  /** Places in leases. */
  held: number;
}

/** In how many places these jobs stand, all together. */
async function places(jobs: NewJob[]): Promise<Places> {
  const [row] = await world.rows<Places>(
    `with wanted as (select distinct unnest($1::uuid[]) as id)
     select (select count(*)::int from skiplease.job where id in (select id from wanted)) as jobs,
            (select count(*)::int from skiplease.ready where job_id in (select id from wanted)) as ready,
            (select count(*)::int from skiplease.scheduled where job_id in (select id from wanted)) as scheduled,
            (select count(*)::int from skiplease.lease cross join unnest(job_ids) as u (id) where u.id in (select id from wanted)) as held`,
    [jobs.map(({ id }) => id)],
  );
  return row!;
}

/** What another coordinator's submit does, in a transaction that stays open. */
async function submitUncommitted(job: NewJob) {
  const client = await world.client();
  const queueId = await world.queue(job.queue);
  await client.query('begin');
  await client.query(
    `with made as (insert into skiplease.job (id, "position", queue_id, priority, type, payload)
                   values ($1, nextval('skiplease.position') * 16384, $2, 0, $3, '') returning *)
     insert into skiplease.ready ("position", job_id, since, queue_id, bytes, priority, attempt, again)
     select "position", id, now(), queue_id, 400, priority, 1, false from made`,
    [job.id, queueId, job.type],
  );
  return client;
}

const flushes = (engine: TestEngine) => engine.statements.filter((name) => name.startsWith('submit') || name === 'hand_off');

test('the same submit twice in a row creates one job, and says so', async (t) => {
  const jobs = [...newJobs(3, { queue: newQueue() }), newJob({ queue: newQueue(), runAtMs: Date.now() + 3_600_000 })];
  t.deepEqual(await one.engine.submit(jobs), { existingIds: [] });
  t.deepEqual(await one.engine.submit(jobs), { existingIds: jobs.map(({ id }) => id) });
  t.deepEqual(await two.engine.submit([jobs[3]!, jobs[0]!]), { existingIds: [jobs[3]!.id, jobs[0]!.id] });
  t.deepEqual(await places(jobs), { jobs: 4, ready: 3, scheduled: 1, held: 0 });
});

test('an id that stands twice in one request is one job', async (t) => {
  const job = newJob({ queue: newQueue() });
  const other = newJob({ queue: job.queue });
  t.deepEqual(await one.engine.submit([job, other, job]), { existingIds: [job.id] });
  t.deepEqual(await places([job, other]), { jobs: 2, ready: 2, scheduled: 0, held: 0 });
  const worker = new TestWorker(one.engine);
  const queue = newQueue();
  await worker.hello({ queues: [queue] });
  const handed = newJob({ queue });
  t.deepEqual(await one.engine.submit([handed, handed]), { existingIds: [handed.id] });
  await worker.gets(1);
  const { held, ready } = await places([handed]);
  t.is(held + ready, 1);
  worker.leave();
});

test('the same jobs from two coordinators at once: each job is created once', async (t) => {
  const queue = newQueue();
  const all: NewJob[] = [];
  for (let round = 0; round < 10; round += 1) {
    const jobs = newJobs(40, { queue });
    all.push(...jobs);
    const answers = await Promise.all([one.engine.submit(jobs), two.engine.submit(jobs)]);
    t.is(answers[0].existingIds.length + answers[1].existingIds.length, 40, 'created by one of them');
    t.is(new Set(answers.flatMap(({ existingIds }) => existingIds)).size, 40);
  }
  t.deepEqual(await places(all), { jobs: 400, ready: 400, scheduled: 0, held: 0 });
});

for (const purpose of ['submit', 'hand_off'] as const) {
  test(`two coordinators that ${purpose} the same jobs in opposite orders lock them in one order`, async (t) => {
    const queue = newQueue();
    await Promise.all([one.engine.queue(queue), two.engine.queue(queue)]);
    const workers = [new TestWorker(one.engine), new TestWorker(two.engine)];
    if (purpose === 'hand_off') {
      await Promise.all(workers.map((worker) => worker.hello({ queues: [queue] })));
    }
    const jobs = newJobs(3, { queue });
    const middle = await submitUncommitted(jobs[1]!);
    const submits = Promise.all([one.engine.submit(jobs), two.engine.submit(jobs.toReversed())]);
    await world.waitForLockWaits('submit', 2);
    await middle.query('rollback');
    const [left, right] = await submits;
    t.is(left.existingIds.length + right.existingIds.length, 3);
    const { jobs: created, ready, held } = await places(jobs);
    t.deepEqual([created, ready + held], [3, 3]);
    for (const { seconds } of [one, two]) {
      t.true(Math.max(...seconds) * 1_000 < LOCK_TIMEOUT_MS, 'neither waited until it was given up');
    }
    if (purpose === 'hand_off') {
      workers.forEach((worker) => worker.leave());
    }
  });
}

test('a repeat while the first is not committed waits for it, and creates what it gave up', async (t) => {
  const [kept, given] = newJobs(2, { queue: newQueue() }) as [NewJob, NewJob];
  for (const [job, end] of [[kept, 'commit'], [given, 'rollback']] as const) {
    const first = await submitUncommitted(job);
    const repeat = one.engine.submit([job]);
    await world.waitForLockWaits('submit');
    await first.query(end);
    t.deepEqual(await repeat, { existingIds: end === 'commit' ? [job.id] : [] });
    t.deepEqual(await places([job]), { jobs: 1, ready: 1, scheduled: 0, held: 0 });
  }
});

test('a repeat in the middle of a hand-off never makes a second holder', async (t) => {
  const queue = newQueue();
  const workers = [new TestWorker(one.engine), new TestWorker(two.engine)];
  await Promise.all(workers.map((worker) => worker.hello({ queues: [queue], jobs: 10_000 })));
  const all: NewJob[] = [];
  for (let round = 0; round < 10; round += 1) {
    const jobs = newJobs(20, { queue });
    all.push(...jobs);
    await Promise.all([one.engine.submit(jobs), two.engine.submit(jobs), one.engine.submit(jobs.slice(5))]);
  }
  await waitFor(() => workers[0]!.jobs.length + workers[1]!.jobs.length >= 200, { deadlineMs: 5_000, what: 'all jobs at the workers' });
  t.true(one.statements.includes('hand_off'));
  t.deepEqual(await places(all), { jobs: 200, ready: 0, scheduled: 0, held: 200 });
  t.is(new Set(workers.flatMap((worker) => worker.jobs.map(({ id }) => id))).size, 200, 'no job was sent twice');
  t.deepEqual(await one.engine.submit(all), { existingIds: all.map(({ id }) => id) });
  t.is((await places(all)).held, 200);
  workers.forEach((worker) => worker.leave());
});

test('a hand-off that meets an uncommitted repeat takes no lease for it', async (t) => {
  const queue = newQueue();
  const worker = new TestWorker(one.engine);
  await worker.hello({ queues: [queue] });
  const job = newJob({ queue });
  const beside = newJob({ queue });
  await one.engine.queue(queue);
  const first = await submitUncommitted(job);
  const answers = Promise.all([one.engine.submit([job]), one.engine.submit([beside])]);
  await world.waitForLockWaits('submit');
  await first.query('commit');
  t.deepEqual(await answers, [{ existingIds: [job.id] }, { existingIds: [] }]);
  await worker.gets(1);
  const { jobs, held, ready } = await places([job, beside]);
  t.deepEqual([jobs, held + ready], [2, 2]);
  worker.leave();
});

test('a repeat of a job that has ended is a repeat', async (t) => {
  const queue = newQueue();
  const worker = new TestWorker(two.engine);
  await worker.hello({ queues: [queue] });
  const job = newJob({ queue });
  await two.engine.submit([job]);
  await worker.gets(1);
  t.deepEqual(await worker.succeed(worker.leases[0]!), [1]);
  t.deepEqual(await two.engine.submit([job]), { existingIds: [job.id] });
  t.is(await world.count('outcome', 'job_id = $1', [job.id]), 1);
  t.is((await places([job])).ready, 0);
  worker.leave();
});

for (const [what, conflict] of [['queue', { queue: 'elsewhere' }], ['type', { type: 'other' }]] as const) {
  test(`an id of another ${what} is refused with all that came with it, and nobody else is`, async (t) => {
    const queue = newQueue();
    const taken = newJob({ queue });
    await one.engine.submit([taken, newJob({ queue: 'elsewhere' })]);
    const wrong = [newJob({ queue }), { ...taken, ...conflict }, newJob({ queue, runAtMs: Date.now() + 60_000 })];
    const before = [newJob({ queue }), taken];
    const after = newJobs(3, { queue });
    const since = flushes(one).length;
    const results = await Promise.allSettled([one.engine.submit(before), one.engine.submit(wrong), one.engine.submit(after)]);
    t.deepEqual(flushes(one).slice(since).filter((name) => name !== 'submit'), ['submit_repeated', 'submit_each'], 'they stood in one flush');
    t.deepEqual(results.map(({ status }) => status), ['fulfilled', 'rejected', 'fulfilled']);
    const refused = (results[1] as PromiseRejectedResult).reason as SkipleaseError;
    t.deepEqual([refused.code, refused.reason, refused.metadata.job_ids], ['ALREADY_EXISTS', 'JOB_ID_TAKEN', taken.id]);
    t.deepEqual((results[0] as PromiseFulfilledResult<unknown>).value, { existingIds: [taken.id] });
    t.deepEqual(await places([wrong[0]!, wrong[2]!]), { jobs: 0, ready: 0, scheduled: 0, held: 0 });
    t.deepEqual(await places([...before, ...after]), { jobs: 5, ready: 5, scheduled: 0, held: 0 });
  });
}

test('an id of another type that is not committed yet is refused, too, once it is', async (t) => {
  const job = newJob({ queue: newQueue() });
  const first = await submitUncommitted(job);
  const refused = t.throwsAsync(one.engine.submit([newJob({ queue: job.queue }), { ...job, type: 'other' }]), { instanceOf: SkipleaseError });
  await world.waitForLockWaits('submit');
  await first.query('commit');
  t.is((await refused).reason, 'JOB_ID_TAKEN');
  t.is(await world.count('job', 'queue_id = $1', [await world.queue(job.queue)]), 1);
});

test('an id that somebody holds for longer than a lock may be waited for fails its own caller only, and may be tried again', async (t) => {
  const queue = newQueue();
  const job = newJob({ queue });
  await one.engine.queue(queue);
  const first = await submitUncommitted(job);
  const others = [newJobs(2, { queue }), newJobs(2, { queue })];
  const results = await Promise.allSettled([one.engine.submit(others[0]!), one.engine.submit([job]), one.engine.submit(others[1]!)]);
  t.deepEqual(results.map(({ status }) => status), ['fulfilled', 'rejected', 'fulfilled']);
  t.true(one.store.isTransient((results[1] as PromiseRejectedResult).reason));
  await first.query('commit');
  t.deepEqual(await one.engine.submit([job]), { existingIds: [job.id] });
  t.deepEqual(await places([job, ...others.flat()]), { jobs: 5, ready: 5, scheduled: 0, held: 0 });
});

test('a flush that the database refuses for one caller creates what the others asked for', async (t) => {
  const queueId = await world.queue('refusing');
  await world.rows(`alter table skiplease.job add constraint no_poison check (type <> 'poison')`);
  const results = await Promise.allSettled([
    one.engine.submit(newJobs(2, { queue: 'refusing' })), one.engine.submit([newJob({ queue: 'refusing', type: 'poison' })]), one.engine.submit([newJob({ queue: 'refusing' })]),
  ]);
  t.deepEqual(results.map((result) => (result.status === 'rejected' ? (result.reason as SkipleaseError).reason : 'ok')), ['ok', 'REFUSED_BY_DATABASE', 'ok']);
  t.is(await world.count('ready', 'queue_id = $1', [queueId]), 3);
  await world.rows('alter table skiplease.job drop constraint no_poison');
});

test('the statements themselves make places only of what the job insert returned', async (t) => {
  const queueId = await world.queue('statements');
  const [left, right] = [world.coordinator(), world.coordinator()];
  const jobs = newJobs(4, { queue: 'statements' });
  const commit = await left.store.submit(rowsOf(queueId, jobs.slice(0, 2)));
  t.not(commit.positionMin, null);
  const each = await right.store.submitEach([rowsOf(queueId, jobs), rowsOf(queueId, [jobs[3]!])]);
  t.deepEqual(each.map((result) => ('error' in result ? result.error : result.existingIds)), [[jobs[0]!.id, jobs[1]!.id], [jobs[3]!.id]]);
  const slot = { queueId, first: 1, last: 4, sessionId: jobs[0]!.id, secret: 1n };
  const error = await t.throwsAsync(left.store.handOff(left.id, rowsOf(queueId, jobs), [slot], []));
  t.is((error as { code?: string }).code, '23505');
  t.deepEqual(await places(jobs), { jobs: 4, ready: 4, scheduled: 0, held: 0 });
});
