/** Ceilings of queues: counted seldom, overshot by little, and nothing is asked for queues that have none. */
import test from 'ava';
import { Ceilings } from '../../coordinator/engine/ceilings.ts';
import type { QueueCache } from '../../coordinator/engine/queue_cache.ts';
import type { Store } from '../../coordinator/store/store.ts';
import { newJobs, rowsOf } from '../support/store_jobs.ts';

/** A queue (number 1) with a ceiling, in which so many wait; queue 2 has none. */
function world(waitingMax: number) {
  const state = { waiting: 0, looks: 0, nowMs: 0 };
  const store = {
    countWaiting: (_queueId: number, max: number) => {
      state.looks += 1;
      return Promise.resolve(Math.min(state.waiting, max));
    },
  } as unknown as Store;
  const queues = { ceilings: new Set([1]), known: () => ({ waitingMax }), nameOf: () => 'full' } as unknown as QueueCache;
  const clock = { nowMs: () => state.nowMs, after: () => null as never, every: () => null as never };
  const ceilings = new Ceilings({ store, queues, clock });
  /** Submits and commits; false: the queue is full. */
  const submit = async (jobs: number) => {
    const rows = rowsOf(1, newJobs(jobs));
    const admitted = await ceilings.admit(rows).then(() => true, (error: { reason: string }) => error.reason !== 'QUEUE_FULL');
    if (admitted) {
      state.waiting += jobs;
      ceilings.answered(rows);
    }
    return admitted;
  };
  return { state, ceilings, submit };
}

test('submits go in up to the ceiling, the last of them however large it is', async (t) => {
  const { state, submit } = world(100);
  for (let count = 0; count < 99; count += 1) t.true(await submit(1));
  t.true(await submit(50));
  t.false(await submit(1));
  t.is(state.waiting, 149);
  t.true(state.looks <= 3, `${state.looks} looks`);
});

test('one that is full is asked again only after a while, and takes more once some have gone', async (t) => {
  const { state, submit } = world(10);
  await submit(10);
  t.false(await submit(1));
  const { looks } = state;
  state.waiting = 0;
  t.false(await submit(1));
  t.is(state.looks, looks);
  state.nowMs += 200;
  t.true(await submit(1));
});

test('what is on its way counts: many at once overshoot by no more than one submit', async (t) => {
  const { ceilings } = world(100);
  const admitted = await Promise.all(Array.from({ length: 100 }, () => ceilings.admit(rowsOf(1, newJobs(10))).then(() => true, () => false)));
  t.is(admitted.filter(Boolean).length, 10);
});

test('a large backlog is counted once for thousands of jobs', async (t) => {
  const { state, submit } = world(1_000_000);
  for (let count = 0; count < 20; count += 1) t.true(await submit(1_000));
  t.true(state.looks <= 5, `${state.looks} looks for 20,000 jobs`);
});

test('queues without a ceiling are no concern', async (t) => {
  const { state, ceilings } = world(1);
  t.false(ceilings.concern(rowsOf(2, newJobs(3))));
  t.true(ceilings.concern([...rowsOf(2, newJobs(3)), ...rowsOf(1, newJobs(1))]));
  await ceilings.admit(rowsOf(2, newJobs(3)));
  t.is(state.looks, 0);
});
