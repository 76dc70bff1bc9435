/** Low-water marks: where a claim starts, and what comes to light below it. */
import anyTest from 'ava';
import { systemClock } from '../../coordinator/clock.ts';
import type { NewJob } from '../../coordinator/types.ts';
import { newJob, newJobs } from '../support/store_jobs.ts';
import { watchPlans } from '../support/store_plans.ts';
import { failed, released, startEngine, TestWorker, type TestEngine } from '../support/store_engine.ts';
import { StoreWorld } from '../support/store_world.ts';
import { waitFor } from '../support/wait.ts';

const test = anyTest.serial;
/** What was committed below the mark, with no word of it, is claimed so soon. (The scan from zero comes each five seconds at most.) */
const LATE_BOUND_MS = 2_000;
const CLAIM = /^\s*with clock[\s\S]*heap as/;

let world: StoreWorld;
let one: TestEngine;
let queues = 0;

anyTest.before(async () => {
  world = await StoreWorld.open();
  one = await startEngine(world.url, { leaseTtlMs: 30_000, tickMs: 200 });
});

anyTest.after.always(async () => {
  await one?.stop();
  await world?.close();
});

function newQueue(): string {
  queues += 1;
  return `q${queues}`;
}

/** What another coordinator's submit does: it draws a position now, and commits when it is told to. No NOTIFY is sent. */
async function submitElsewhere(job: NewJob): Promise<{ commit(): Promise<void> }> {
  const client = await world.client();
  const queueId = await world.queue(job.queue);
  await client.query('begin');
  await client.query(
    `with made as (insert into skiplease.job (id, "position", queue_id, priority, type, payload)
                   values ($1, nextval('skiplease.position') * 16384 + 1, $2, $3, 't', '') returning *)
     insert into skiplease.ready ("position", job_id, since, queue_id, bytes, priority, attempt, again)
     select "position", id, now(), queue_id, 400, priority, 1, false from made`,
    [job.id, queueId, job.priority],
  );
  return {
    commit: async () => {
      await client.query('commit');
      await client.end();
    },
  };
}

/** Submits while nobody waits, so that the jobs go to ready, and lets a worker claim them: the mark is past them then. */
async function claimed(worker: TestWorker, queue: string, count: number): Promise<void> {
  await one.engine.submit(newJobs(count, { queue }));
  await worker.hello({ queues: [queue], jobs: 1_000 });
  await worker.gets(count);
}

for (const [when, warmUp] of [['in a queue that is new', false], ['in a queue that has been busy before', true]] as const) {
  test(`a submit that commits after the mark has passed it, with no word of it, is claimed within a bound, ${when}`, async (t) => {
    const queue = newQueue();
    if (warmUp) {
      const earlier = new TestWorker(one.engine);
      await claimed(earlier, queue, 3);
      for (const lease of earlier.leases) await earlier.succeed(lease);
      earlier.leave();
    }
    const late = newJob({ queue });
    const elsewhere = await submitElsewhere(late);
    const worker = new TestWorker(one.engine);
    await claimed(worker, queue, 5);
    await elsewhere.commit();
    const since = systemClock.nowMs();
    const got = await worker.gets(6, LATE_BOUND_MS);
    t.log(`after ${Math.round(systemClock.nowMs() - since)} ms`);
    t.is(got.at(-1)!.id, late.id);
    worker.leave();
  });
}

for (const passed of ['a mark that has passed them', 'no mark beyond them'] as const) {
  test(`rows that another's claim gave up are claimed within a bound, with ${passed}`, async (t) => {
    const queue = newQueue();
    const jobs = newJobs(passed === 'no mark beyond them' ? 2 : 6, { queue });
    await one.engine.submit(jobs);
    const claim = await world.client();
    await claim.query('begin');
    const { rows } = await claim.query<{ job_id: string }>(
      'delete from skiplease.ready where job_id = any($1) returning job_id', [jobs.slice(0, 2).map(({ id }) => id)]);
    t.is(rows.length, 2);
    const worker = new TestWorker(one.engine);
    await worker.hello({ queues: [queue] });
    await worker.gets(jobs.length - 2);
    const claims = () => one.statements.filter((name) => name === 'claim').length;
    const before = claims();
    await waitFor(() => claims() > before, { deadlineMs: 3_000, what: 'a claim that passes them by' });
    await claim.query('rollback');
    const since = systemClock.nowMs();
    t.is((await worker.gets(jobs.length, LATE_BOUND_MS)).length, jobs.length);
    t.log(`after ${Math.round(systemClock.nowMs() - since)} ms`);
    worker.leave();
  });
}

test('what is returned or promoted gets a position above all that were drawn before', async (t) => {
  const queue = newQueue();
  const worker = new TestWorker(one.engine);
  await claimed(worker, queue, 4);
  const highest = async () => BigInt(await world.value<string>(`select last_value * 16384 from skiplease.position`));
  const ids = worker.jobs.map(({ id }) => id);
  worker.session.draining = true;
  const before = await highest();
  await worker.report(worker.leases[0]!.token, [
    { jobId: ids[0]!, move: released() }, { jobId: ids[1]!, move: failed({ retryDelayMs: 0 }) }, { jobId: ids[2]!, move: released(20) }, { jobId: ids[3]!, move: failed({ retryDelayMs: 20 }) },
  ]);
  await waitFor(async () => (await world.count('ready', 'job_id = any($1)', [ids])) === 4, { deadlineMs: 3_000, what: 'all of them in ready' });
  const rows = await world.rows<{ position: string; attempt: number }>('select "position", attempt from skiplease.ready where job_id = any($1)', [ids]);
  t.true(rows.every(({ position }) => BigInt(position) > before));
  t.deepEqual(rows.map(({ attempt }) => attempt).toSorted(), [1, 1, 2, 2]);
  worker.leave();
});

test('with 100,000 dead rows that a snapshot pins, a claim from the mark reads few blocks', async (t) => {
  const watch = await watchPlans(world.url);
  t.teardown(() => watch.close());
  const queueId = await world.queue(newQueue());
  const snapshot = await world.client();
  await snapshot.query('begin isolation level repeatable read');
  await snapshot.query('select count(*) from skiplease.ready');
  await world.rows(
    `insert into skiplease.ready select n, gen_random_uuid(), now(), $1, 400, 0, 1, false from generate_series(1, 100000) n`, [queueId]);
  await world.rows('delete from skiplease.ready where queue_id = $1', [queueId]);
  const coordinator = world.coordinator(watch.url);
  await world.rows(`select setval('skiplease.position', 100)`);
  await world.submit(coordinator, queueId, newJobs(100));
  watch.take(CLAIM);
  const fromMark = await coordinator.claim(queueId, 50, { mark: 100_000n });
  const [marked] = watch.take(CLAIM);
  const fromZero = await coordinator.claim(queueId, 50);
  const [unmarked] = watch.take(CLAIM);
  t.deepEqual([fromMark!.jobIds.length, fromZero!.jobIds.length], [50, 50]);
  t.log(`${marked!.buffers} blocks from the mark, ${unmarked!.buffers} from zero`);
  t.true(marked!.buffers < 50 * 30, 'a few for each job');
  t.true(unmarked!.buffers > marked!.buffers + 500, 'what the mark spares');
  await snapshot.query('rollback');
});

test('the engine claims from its marks: what it has done already is not read again', async (t) => {
  const watch = await watchPlans(world.url);
  t.teardown(() => watch.close());
  const engine = await startEngine(watch.url, { leaseTtlMs: 30_000, tickMs: 200, lineUrl: world.url });
  t.teardown(() => engine.stop());
  const queue = newQueue();
  const snapshot = await world.client();
  await snapshot.query('begin isolation level repeatable read');
  await snapshot.query('select count(*) from skiplease.ready');
  const work = async (count: number) => {
    await engine.engine.submit(newJobs(count, { queue }));
    const worker = new TestWorker(engine.engine);
    await worker.hello({ queues: [queue], jobs: 10_000 });
    await worker.gets(count);
    for (const lease of worker.leases) await worker.succeed(lease);
    worker.leave();
  };
  await work(5_000);
  await work(5_000);
  const buffers: number[] = [];
  for (let round = 0; round < 4; round += 1) {
    watch.take(CLAIM);
    await work(10);
    buffers.push(...watch.take(CLAIM).filter(({ nodes }) => nodes.some(({ type, rows }) => type === 'LockRows' && rows >= 10)).map((plan) => plan.buffers));
  }
  t.log(buffers);
  t.true(Math.min(...buffers) < 100, 'the looks back apart, a claim of 10 jobs reads nothing of the 10,000');
  await snapshot.query('rollback');
});
