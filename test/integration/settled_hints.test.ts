/** What a coordinator hears of others, and what it makes up for when it heard nothing; and whom it tells that jobs have moved. */
import anyTest from 'ava';
import { cancelJobs } from '../../coordinator/store/cancel_jobs.ts';
import { openPool } from '../../coordinator/store/pool.ts';
import { memoryLine } from '../../coordinator/wakeups/memory_line.ts';
import { newJob, newJobs } from '../support/store_jobs.ts';
import { failed, startEngine, TestWorker } from '../support/store_engine.ts';
import { StoreWorld } from '../support/store_world.ts';
import { waitFor } from '../support/wait.ts';

const test = anyTest.serial;
const DEADLINE_MS = 10_000;
/** Nothing here is found by a tick. */
const RARELY = { leaseTtlMs: 40_000, tickMs: 30_000 };

let world: StoreWorld;
anyTest.before(async () => {
  world = await StoreWorld.open();
});
anyTest.after.always(() => world?.close());

test('whoever watches is told of each commit that moves jobs, here and, by a hint, elsewhere', async (t) => {
  const here = await startEngine(world.url, RARELY);
  const there = await startEngine(world.url, RARELY);
  await world.queue('moved');
  let moves = 0;
  const moved = (engine: typeof here, what: string) => {
    const before = moves;
    engine.engine.onMoved = () => {
      moves += 1;
    };
    return { seen: () => waitFor(() => moves > before, { deadlineMs: DEADLINE_MS, what: `${what} to be told of` }) };
  };
  const submitted = moved(here, 'a submit');
  const [plain, late] = [newJob({ queue: 'moved' }), newJob({ queue: 'moved', runAtMs: here.engine.nowMs() + 3_600_000 })];
  await here.engine.submit([plain]);
  await submitted.seen();
  const scheduled = moved(here, 'a scheduled job');
  await here.engine.submit([late]);
  await scheduled.seen();

  const claimed = moved(here, 'a claim');
  const worker = new TestWorker(here.engine);
  await worker.hello({ queues: ['moved'] });
  await worker.gets(1);
  await claimed.seen();
  const handedOff = moved(here, 'a hand-off');
  await here.engine.submit([newJob({ queue: 'moved' })]);
  await worker.gets(2);
  await handedOff.seen();
  const progressed = moved(here, 'progress');
  const [lease, second] = worker.leases;
  here.engine.progress.add({
    jobId: plain.id, leaseId: BigInt(`0x${lease!.token.split('.')[0]!}`), secret: 0n, percent: 1, note: '', checkpoint: null, checkpointType: null,
  });
  await progressed.seen();
  const settled = moved(here, 'a success');
  await worker.succeed(lease!);
  await settled.seen();
  const returned = moved(here, 'a failed attempt');
  await worker.report(second!.token, [{ jobId: second!.jobs[0]!.id, move: failed({ retryDelayMs: 3_600_000 }) }]);
  await returned.seen();
  here.engine.onMoved = () => {};

  const elsewhere = moved(there, 'a submit elsewhere');
  await here.engine.submit([newJob({ queue: 'moved', priority: 3 })]);
  await elsewhere.seen();
  worker.leave();
  await Promise.all([here.stop(), there.stop()]);
  t.pass();
});

test('a cancel that was not heard of is told to the worker at the next scan, once', async (t) => {
  let scan = () => {};
  const deaf = await startEngine(world.url, {
    ...RARELY,
    openLine: (_received, listening) => {
      scan = listening;
      return memoryLine;
    },
  });
  await world.queue('unheard');
  const worker = new TestWorker(deaf.engine);
  await worker.hello({ queues: ['unheard'] });
  const jobs = newJobs(4, { queue: 'unheard' });
  await deaf.engine.submit(jobs);
  const [first, second] = (await worker.gets(4)).map(({ id }) => id);
  await worker.report(worker.leases[0]!.token, [{ jobId: second!, move: failed({ permanent: true }) }]);
  const pool = await openPool(world.url);
  await cancelJobs(pool, [first!], 'not wanted', () => {});
  scan();
  await waitFor(() => worker.cancels.length === 1, { deadlineMs: DEADLINE_MS, what: 'the cancel' });
  t.like(worker.cancels[0], { jobIds: [first], message: 'not wanted' });

  // Its lease is swept away once nothing of it is left.
  const rest = worker.jobs.map(({ id }) => id).slice(2);
  await cancelJobs(pool, rest, 'nor these', () => {});
  await world.rows('delete from skiplease.lease where bit_count(settled) = length(settled)');
  scan();
  await waitFor(() => worker.cancels.length === 3, { deadlineMs: DEADLINE_MS, what: 'the other cancels' });
  t.deepEqual(worker.cancels.flatMap(({ jobIds }) => jobIds).toSorted(), [first!, ...rest].toSorted());
  t.is(worker.session.heldJobs, 0);
  scan();
  await pool.end();
  worker.leave();
  await deaf.stop();
  t.is(worker.cancels.length, 3, 'each is told once');
});
