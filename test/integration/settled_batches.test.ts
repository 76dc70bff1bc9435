/**
 * Who counts what, and who finishes a batch: two commits that end its last two jobs at once, a crash between the last commit and
 * the end of the batch, submits that are on their way in while it is closed, and steps that are bounded.
 */
import anyTest from 'ava';
import { Bits } from '../../coordinator/bits.ts';
import { getBatches } from '../../coordinator/store/batches.ts';
import { closeBatch } from '../../coordinator/store/close_batch.ts';
import { createBatch } from '../../coordinator/store/create_batch.ts';
import { openPool, type Pool } from '../../coordinator/store/pool.ts';
import type { NewJob } from '../../coordinator/types.ts';
import { lookAtBatch } from '../support/batch_look.ts';
import { startEngine } from '../support/store_engine.ts';
import { newJob, newJobs, rowsOf } from '../support/store_jobs.ts';
import { StoreWorld, type Claimed, type StoreCoordinator } from '../support/store_world.ts';
import { waitFor } from '../support/wait.ts';

const test = anyTest.serial;
/** A tick each second, and time for a busy machine. */
const TICK_DEADLINE_MS = 10_000;
const FIRST_ID = '00000000-0000-0000-0000-000000000000';

let world: StoreWorld;
let pool: Pool;
let [one, other]: StoreCoordinator[] = [];

test.before(async () => {
  world = await StoreWorld.open();
  pool = await openPool(world.url);
  [one, other] = [world.coordinator(), world.coordinator()];
});
test.after.always(async () => {
  await pool?.end();
  await world?.close();
});

interface Made {
  batchId: string;
  followUp: NewJob;
  queueId: number;
  look: () => ReturnType<typeof lookAtBatch>;
}

/** A batch with a follow-up, and a queue of its own. */
async function batch(queue: string): Promise<Made> {
  const queueId = await world.queue(queue);
  const { id: batchId } = newJob();
  const followUp = newJob();
  await createBatch(pool, batchId, '', { job: followUp, queueId: await world.queue(`${queue}-after`), delayMs: null, startWithinMs: null });
  return { batchId, followUp, queueId, look: () => lookAtBatch(pool, batchId, followUp.id) };
}

async function submit(coordinator: StoreCoordinator, { batchId, queueId }: Made, count: number): Promise<void> {
  const [result] = await coordinator.store.submitBatched([rowsOf(queueId, newJobs(count, { options: { batchId } }))]);
  if ('error' in result!) throw result.error;
}

/** Settles a lease of jobs that are only counted, as the fast way does. */
function settle(coordinator: StoreCoordinator, { batchId }: Made, { leaseId, secret, jobIds }: Claimed): Promise<Set<string> | undefined> {
  const add = new Bits(jobIds.length);
  jobIds.forEach((_, place) => add.set(place));
  return coordinator.store.settle([{ leaseId, secret, expected: new Bits(jobIds.length), add }],
    jobIds.map((jobId) => ({ jobId, leaseId, attempt: 1, result: null, resultType: null, batchId })), []);
}

const fold = (coordinator: StoreCoordinator) => coordinator.store.foldBatches(FIRST_ID);

test('what a coordinator that was killed has committed is finished by another one, once', async (t) => {
  const made = await batch('killed');
  await submit(one!, made, 20);
  const leases = [(await one!.claim(made.queueId, 10))!, (await one!.claim(made.queueId, 10))!];
  await closeBatch(pool, made.batchId);
  // Both commit; neither comes to look at what it has done.
  await Promise.all([settle(one!, made, leases[0]!), settle(other!, made, leases[1]!)]);
  t.like(await made.look(), { closed: true, finishedAtMs: null, followUps: 0, counted: { total: 20, succeeded: 20, failed: 0, cancelled: 0 } });
  const engines = await Promise.all([1, 2].map(() => startEngine(world.url, { tickMs: 50 })));
  await waitFor(async () => (await made.look()).finishedAtMs !== null, { deadlineMs: TICK_DEADLINE_MS, what: 'the batch to be finished' });
  t.like(await made.look(), { followUps: 1, followUpCounts: { total: 20, succeeded: 20, failed: 0, cancelled: 0 } });
  await waitFor(() => world.count('ready', 'job_id = $1', [made.followUp.id]).then((count) => count === 1), { deadlineMs: TICK_DEADLINE_MS, what: 'the follow-up to be ready' });
  await Promise.all(engines.map((engine) => engine.stop()));
});

test('many that fold at once finish a batch once, and only when the last of its jobs is final', async (t) => {
  const made = await batch('folded');
  await submit(one!, made, 6);
  await closeBatch(pool, made.batchId);
  for (let left = 6; left > 0; left -= 1) {
    await Promise.all([fold(one!), fold(other!), fold(one!), fold(other!)]);
    t.like(await made.look(), { finishedAtMs: null, followUps: 0, counted: { total: 6, succeeded: 6 - left, failed: 0, cancelled: 0 } });
    const claimed = (await one!.claim(made.queueId, 1))!;
    await Promise.all([fold(one!), settle(one!, made, claimed), fold(other!)]);
  }
  const folds = await Promise.all([fold(one!), fold(other!), fold(one!)]);
  t.true(folds.filter((found) => found?.followUps === true).length <= 1);
  t.like(await made.look(), { followUps: 1, counted: { total: 6, succeeded: 6, failed: 0, cancelled: 0 } });
  t.not((await made.look()).finishedAtMs, null);
  t.is(await world.count('scheduled', 'job_id = $1', [made.followUp.id]), 1);
  t.is(await fold(one!), undefined, 'nothing is left to fold');
});

test('a batch that is closed takes nobody new at once, and is not finished before those on their way in are through', async (t) => {
  const made = await batch('on-the-way');
  const application = await world.client();
  const submitInSql = (commits: boolean) => application.query('begin')
    .then(() => application.query(`select skiplease.submit('on-the-way', 't', options => jsonb_build_object('batch_id', $1::text))`, [made.batchId]))
    .then(() => ({ end: () => application.query(commits ? 'commit' : 'rollback') }));
  const coming = await submitInSql(true);
  const error = await t.throwsAsync(closeBatch(pool, made.batchId));
  t.like(error, { code: 'ABORTED', reason: 'SUBMITS_UNDER_WAY' });
  await t.throwsAsync(submit(one!, made, 1), { code: 'SK010' });
  await t.notThrowsAsync(fold(one!));
  t.like(await made.look(), { closed: true, finishedAtMs: null, counted: { total: 0, succeeded: 0, failed: 0, cancelled: 0 } });
  await coming.end();
  await closeBatch(pool, made.batchId);
  await fold(one!);
  t.like(await made.look(), { finishedAtMs: null, counted: { total: 1, succeeded: 0, failed: 0, cancelled: 0 } });
});

test('one that was on its way in and turns back leaves nothing, and the batch is finished', async (t) => {
  const made = await batch('turned-back');
  const application = await world.client();
  await application.query('begin');
  await application.query(`select skiplease.submit('turned-back', 't', options => jsonb_build_object('batch_id', $1::text))`, [made.batchId]);
  await t.throwsAsync(closeBatch(pool, made.batchId), { message: /not committed yet/ });
  await fold(one!);
  t.is((await made.look()).finishedAtMs, null);
  await application.query('rollback');
  await fold(one!);
  t.like(await made.look(), { followUps: 1, counted: { total: 0, succeeded: 0, failed: 0, cancelled: 0 } });
});

test('streams of submits on two coordinators do not hold off who closes, and what they were told is what is there', async (t) => {
  const made = await batch('streams');
  let accepted = 0;
  let refusals = 0;
  const stream = async (coordinator: StoreCoordinator) => {
    while (refusals < 2) {
      await submit(coordinator, made, 3).then(() => (accepted += 3), (error: { code: string }) => {
        t.is(error.code, 'SK010');
        refusals += 1;
      });
    }
  };
  const streams = [stream(one!), stream(other!)];
  await waitFor(() => accepted > 30, { deadlineMs: TICK_DEADLINE_MS, what: 'some submits' });
  await closeBatch(pool, made.batchId);
  const [closed] = await getBatches(pool, [made.batchId]);
  await Promise.all(streams);
  t.is(closed!.total, accepted, 'once it is answered nobody comes in any more');
  t.is((await made.look()).counts.total, accepted);
});

test('a batch with more changes than a step takes is folded step by step, and not finished in between', async (t) => {
  const made = await batch('steps');
  await world.rows(`insert into skiplease.batch_delta select $1, 1, 0, 0, 0 from generate_series(1, 1500)`, [made.batchId]);
  await world.rows(`insert into skiplease.batch_delta select $1, 0, 1, 0, 0 from generate_series(1, 1500)`, [made.batchId]);
  await closeBatch(pool, made.batchId);
  for (let steps = 1; ; steps += 1) {
    const [before] = await getBatches(pool, [made.batchId]);
    t.like(before, { total: 1_500, succeeded: 1_500, finishedAtMs: null });
    const step = await fold(one!);
    if (!step!.more) {
      t.is(steps, 4);
      break;
    }
  }
  t.not((await getBatches(pool, [made.batchId]))[0]!.finishedAtMs, null);
});
