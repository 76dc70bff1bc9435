/**
 * Whoever ends a job asks for its dependents after the commit, and so does whoever made them wait: every interleaving of the
 * two, two that end a job's last two dependencies at once, steps that are bounded, and the sweep behind it all.
 */
import anyTest from 'ava';
import { cancelJobs } from '../../coordinator/store/cancel_jobs.ts';
import { openPool } from '../../coordinator/store/pool.ts';
import type { SubmitRow } from '../../coordinator/store/submit.ts';
import type { NewJob } from '../../coordinator/types.ts';
import { startEngine, TestWorker } from '../support/store_engine.ts';
import { newJob, newJobs, rowsOf } from '../support/store_jobs.ts';
import { StoreWorld, type StoreCoordinator } from '../support/store_world.ts';
import { waitFor } from '../support/wait.ts';

const test = anyTest.serial;
/** A step of the sweep each second, and time for a busy machine. */
const SWEEP_DEADLINE_MS = 5_000;

let world: StoreWorld;
let [one, other]: StoreCoordinator[] = [];
let queueId: number;

test.before(async () => {
  world = await StoreWorld.open();
  [one, other] = [world.coordinator(), world.coordinator()];
  queueId = await world.queue();
});
test.after.always(() => world?.close());

function after(jobs: NewJob[], fields: Partial<NewJob> = {}): NewJob {
  return newJob({ ...fields, options: { ...fields.options, after: jobs.map(({ id }) => id), afterPolicy: fields.options?.afterPolicy ?? 'cancel' } });
}

async function submit(coordinator: StoreCoordinator, ...jobs: NewJob[]): Promise<void> {
  const [result] = await coordinator.store.submitSpecial([rowsOf(queueId, jobs)]);
  if ('error' in result!) throw result.error;
}

/** Ends jobs that wait for a worker, as if by one; nobody asks for those who wait for them. */
async function end(jobs: NewJob[], state: 4 | 5 = 4): Promise<void> {
  const ids = jobs.map(({ id }) => id);
  await world.rows('delete from skiplease.ready where job_id = any($1)', [ids]);
  await world.rows('insert into skiplease.outcome (job_id, lease_id, finished_at, state, attempt) select id, 1, now(), $2, 1 from unnest($1::uuid[]) as i (id)', [ids, state]);
}

const resolve = (coordinator: StoreCoordinator, jobs: { id: string }[], jobsMax = 1_000) =>
  coordinator.store.resolveDependents(jobs.map(({ id }) => id), jobsMax);
const isReady = ({ id }: NewJob) => world.count('ready', 'job_id = $1', [id]).then((count) => count === 1);
const isBlocked = ({ id }: NewJob) => world.count('blocked', 'job_id = $1 and reason = 1', [id]).then((count) => count === 1);

/** Submits these, and stops before the commit until it is told to go on. */
async function submitSlowly(jobs: NewJob[]): Promise<{ commit: () => Promise<void> }> {
  // A second caller of the same flush waits for an id that an application's transaction has.
  const holder = await world.client();
  const held = newJob({ options: { serialKey: 'held' } });
  await holder.query('begin');
  await holder.query('insert into skiplease.job (id, queue_id, priority, type, payload) values ($1, $2, 0, $3, $4)', [held.id, queueId, 't', '']);
  const submitted = one!.store.submitSpecial([rowsOf(queueId, jobs), rowsOf(queueId, [held])] satisfies SubmitRow[][]);
  await world.waitForLockWaits('special');
  return {
    commit: async () => {
      await holder.query('rollback');
      const results = await submitted;
      if ('error' in results[0]!) throw results[0].error;
    },
  };
}

test('a job that ends while those who wait for it are being committed is found by their submitter', async (t) => {
  const first = newJob();
  await submit(one!, first);
  const [second, third] = [after([first]), after([first])];
  const slow = await submitSlowly([second, third]);
  await end([first]);
  t.deepEqual((await resolve(other!, [first])).wake.levels, [], 'whoever ended it does not see who waits');
  await slow.commit();
  t.true(await isBlocked(second));
  t.is((await resolve(one!, [first])).wake.levels.length, 1);
  t.true(await isReady(second) && await isReady(third));
  t.is(await world.count('dependency'), 0);
});

test('a job that has not ended is asked for in vain', async (t) => {
  const first = newJob();
  const second = after([first]);
  await submit(one!, first, second);
  t.like(await resolve(one!, [first, second, newJob()]), { more: false, cancelled: [] });
  t.true(await isBlocked(second));
  await end([first]);
  await resolve(one!, [first]);
  t.true(await isReady(second));
});

test('the last two end at once: one of those who ask sets it off, and each would', async (t) => {
  const [first, second] = newJobs(2);
  const third = after([first!, second!]);
  await submit(one!, first!, second!, third);
  const holder = await world.client();
  await holder.query('begin');
  await holder.query('select from skiplease.blocked where job_id = $1 for update', [third.id]);
  await end([first!, second!]);
  const asked = [resolve(one!, [first!]), resolve(other!, [second!])];
  await world.waitForLockWaits('dependents', 2);
  await holder.query('commit');
  const levels = (await Promise.all(asked)).map(({ wake }) => wake.levels.length);
  t.deepEqual(levels.toSorted(), [0, 1]);
  t.true(await isReady(third));
  t.is(await world.count('dependency'), 0);
});

test('it is cancelled while it is set off: one of the two', async (t) => {
  const pool = await openPool(world.url);
  for (const order of ['cancel first', 'set off first'] as const) {
    const first = newJob();
    const second = after([first]);
    await submit(one!, first, second);
    await end([first]);
    const holder = await world.client();
    await holder.query('begin');
    await holder.query('select from skiplease.blocked where job_id = $1 for update', [second.id]);
    const cancel = () => cancelJobs(pool, [second.id], 'no', () => {});
    const begun = order === 'cancel first' ? [cancel(), undefined] as const : [undefined, resolve(one!, [first])] as const;
    await world.waitForLockWaits(order === 'cancel first' ? 'ordinary' : 'dependents');
    const [cancelled, resolved] = [begun[0] ?? cancel(), begun[1] ?? resolve(one!, [first])];
    await world.waitForLockWaits(order === 'cancel first' ? 'dependents' : 'ordinary');
    await holder.query('commit');
    await resolved;
    t.deepEqual((await cancelled).map(({ outcome }) => outcome), ['cancelled'], order);
    t.is(await world.count('ready', 'job_id = $1', [second.id]), 0);
    t.is(await world.count('outcome', 'job_id = $1 and state = 6', [second.id]), 1);
  }
  t.is(await world.count('dependency'), 0);
  await pool.end();
});

test('many wait for one: in steps of so many, none twice', async (t) => {
  const first = newJob();
  const many = Array.from({ length: 2_500 }, () => after([first]));
  await submit(one!, first, ...many);
  await end([first]);
  const steps = [];
  for (let more = true; more;) {
    ({ more } = await resolve(one!, [first]));
    steps.push(await world.count('ready', 'job_id = any($1)', [many.map(({ id }) => id)]));
  }
  t.deepEqual(steps, [1_000, 2_000, 2_500]);
  t.is(await world.count('dependency'), 0);
});

test('a chain is cancelled with its first, in steps of so many', async (t) => {
  const chain = [newJob()];
  for (let length = 1; length < 2_500; length += 1) chain.push(after([chain.at(-1)!]));
  const anyway = after([chain.at(-1)!], { options: { afterPolicy: 'run_anyway' } });
  await submit(one!, ...chain, anyway);
  await end([chain[0]!], 5);
  let asked: { id: string }[] = [chain[0]!];
  const steps = [];
  while (asked.length > 0) {
    const { cancelled } = await resolve(one!, asked);
    steps.push(cancelled.length);
    asked = cancelled.map(({ jobId }) => ({ id: jobId }));
  }
  t.deepEqual(steps, [1_000, 1_000, 499, 0]);
  t.true(await isReady(anyway));
  const [last] = await world.rows('select state, reason from skiplease.outcome where job_id = $1', [chain.at(-1)!.id]);
  t.deepEqual(last, { state: 6, reason: ['AFTER_JOB_FAILED', `The job ${chain.at(-2)!.id}, which it waited for, was CANCELLED.`] });
});

test('a job that is no longer kept was final', async (t) => {
  const first = newJob();
  const waiting = [after([first]), after([first], { options: { afterPolicy: 'run_anyway' } })];
  await submit(one!, first, ...waiting);
  await end([first]);
  await world.rows('delete from skiplease.outcome where job_id = $1', [first.id]);
  await world.rows('delete from skiplease.job where id = $1', [first.id]);
  const { finalIds } = await one!.store.sweepDependencies(0, 1_000);
  t.deepEqual(finalIds, [first.id]);
  const { cancelled } = await resolve(one!, [first]);
  t.deepEqual(cancelled, [{ jobId: waiting[0]!.id, queueId }]);
  t.true(await isReady(waiting[1]!));
});

test('nobody is asked for where nobody waits; whoever ends a job that is waited for asks at once', async (t) => {
  const { engine, statements, stop } = await startEngine(world.url);
  const worker = new TestWorker(engine);
  await worker.hello({ queues: ['watched'] });
  const run = async (...jobs: NewJob[]) => {
    const before = worker.leases.length;
    await engine.submit(jobs);
    await waitFor(() => worker.leases.length > before, { deadlineMs: 5_000, what: 'a lease' });
    await worker.succeed(worker.leases[before]!);
  };
  await waitFor(() => statements.includes('sweep_dependencies'), { deadlineMs: SWEEP_DEADLINE_MS, what: 'a first look at who waits' });
  await run(...newJobs(3, { queue: 'watched' }));
  t.false(statements.includes('resolve_dependents'));
  const first = newJob({ queue: 'watched' });
  await run(first, after([first], { queue: 'watched' }));
  await worker.gets(5);
  await waitFor(() => statements.lastIndexOf('resolve_dependents') > statements.lastIndexOf('settle'), { deadlineMs: 500, what: 'whoever ended it to ask' });
  await stop();
});

test('what nobody asked for the sweep finds: block by block, and as often as it takes', async (t) => {
  const jobs = newJobs(600);
  const waiting = jobs.map((job) => after([job]));
  await submit(one!, ...jobs, ...waiting);
  await end(jobs);
  const { blocks } = await one!.store.sweepDependencies(0, 1);
  t.true(blocks >= 5);
  const found: string[] = [];
  for (let block = 0; block < blocks; block += 1) {
    const { finalIds, awaited } = await one!.store.sweepDependencies(block, 1);
    if (finalIds.length > 0) t.deepEqual(awaited, { min: finalIds.toSorted()[0]!, max: finalIds.toSorted().at(-1)! });
    found.push(...finalIds);
  }
  t.deepEqual(found.toSorted(), jobs.map(({ id }) => id).toSorted());
  t.deepEqual(await one!.store.sweepDependencies(blocks, 10), { finalIds: [], awaited: undefined, blocks });
  // The coordinator that ended them is gone: another one comes by.
  const late = await startEngine(world.url);
  await waitFor(async () => (await world.count('blocked')) === 0, { deadlineMs: SWEEP_DEADLINE_MS, what: 'the sweep' });
  t.is(await world.count('ready', 'job_id = any($1)', [waiting.map(({ id }) => id)]), 600);
  await late.stop();
});
