/** Natural batching: order, bounds, and what idle() promises. */
import { setTimeout as delay } from 'node:timers/promises';
import test from 'ava';
import { Batcher } from '../../coordinator/engine/batcher.ts';
import { within } from '../support/wait.ts';

/** A batcher whose flushes end when the test says so. */
function heldBatcher(weightMax: number, weigh?: (item: number) => number) {
  const flushes: number[][] = [];
  const releases: (() => void)[] = [];
  const batcher = new Batcher<number>(
    (items) => {
      flushes.push(items);
      return new Promise((resolve) => {
        releases.push(resolve);
      });
    },
    weightMax,
    weigh,
  );
  const nextTurn = () => new Promise(setImmediate);
  return { batcher, flushes, nextTurn, release: () => releases.shift()!() };
}

test('what arrives in one turn goes out together, what arrives during a flush goes in the next', async (t) => {
  const { batcher, flushes, nextTurn, release } = heldBatcher(10);
  batcher.add(1);
  batcher.add(2);
  await nextTurn();
  t.deepEqual(flushes, [[1, 2]]);
  batcher.add(3);
  batcher.add(4);
  await nextTurn();
  t.is(batcher.waitingWeight, 2);
  t.deepEqual(flushes, [[1, 2]], 'one flush at a time');
  release();
  await nextTurn();
  t.deepEqual(flushes, [[1, 2], [3, 4]]);
  t.is(batcher.waitingWeight, 0);
  release();
});

test('a flush takes items up to its weight, at least one, in order', async (t) => {
  const { batcher, flushes, nextTurn, release } = heldBatcher(10, (item) => item);
  for (const item of [4, 6, 1, 25, 3, 3]) {
    batcher.add(item);
  }
  for (let count = 0; count < 4; count += 1) {
    await nextTurn();
    release();
  }
  await nextTurn();
  t.deepEqual(flushes, [[4, 6], [1], [25], [3, 3]]);
});

test('idle() waits for what was added before it, and not for what is added after', async (t) => {
  const { batcher, flushes, nextTurn, release } = heldBatcher(1);
  await batcher.idle();
  batcher.add(1);
  batcher.add(2);
  let idle = false;
  const waiting = batcher.idle().then(() => {
    idle = true;
  });
  await nextTurn();
  release();
  await nextTurn();
  t.false(idle, 'the second item is not flushed yet');
  batcher.add(3);
  release();
  await nextTurn();
  await within(waiting, 1_000, 'idle() while the batcher goes on');
  t.deepEqual(flushes, [[1], [2], [3]]);
  release();
  await batcher.idle();
});

test('idle() comes back under a load that never ends', async (t) => {
  let busy = true;
  const batcher = new Batcher<number>(async () => {
    await delay(1);
    if (busy) {
      batcher.add(1);
    }
  }, 10);
  batcher.add(1);
  await within(batcher.idle(), 2_000, 'idle() under load');
  busy = false;
  await batcher.idle();
  t.pass();
});
