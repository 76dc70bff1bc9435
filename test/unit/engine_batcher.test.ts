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
  t.deepEqual(flushes, [[1, 2]], 'one flush at a time');
  release();
  await nextTurn();
  t.deepEqual(flushes, [[1, 2], [3, 4]]);
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

/** The same, of items of several clients: `a3` is one of client a that weighs 3. */
function heldLanes(weightMax: number) {
  const flushes: string[][] = [];
  const releases: (() => void)[] = [];
  const batcher = new Batcher<string>(
    (items) => {
      flushes.push(items);
      return new Promise((resolve) => {
        releases.push(resolve);
      });
    },
    weightMax, (item) => Number(item.slice(1)), ([client]) => client!,
  );
  const flushAll = async () => {
    await new Promise(setImmediate);
    while (releases.length > 0) {
      releases.shift()!();
      await new Promise(setImmediate);
    }
    return flushes;
  };
  return { batcher, flushes, flushAll };
}

test('whoever has a mountain waiting does not keep others from the next flush', async (t) => {
  const { batcher, flushAll } = heldLanes(10);
  for (let count = 0; count < 6; count += 1) batcher.add('a4');
  batcher.add('b1');
  batcher.add('b1');
  const flushes = await flushAll();
  t.deepEqual(flushes[0], ['a4', 'a4', 'b1', 'b1']);
  t.deepEqual(flushes.flat().toSorted(), ['a4', 'a4', 'a4', 'a4', 'a4', 'a4', 'b1', 'b1']);
});

test('a client of small submits and one of large ones get the same part of a flush, each in its order', async (t) => {
  const { batcher, flushes, flushAll } = heldLanes(1_000);
  for (let count = 0; count < 5; count += 1) batcher.add('a500');
  for (let count = 0; count < 2_000; count += 1) batcher.add('b1');
  await flushAll();
  t.deepEqual(flushes[0]!.map(([client]) => client).filter((client) => client === 'a').length, 1);
  t.is(flushes[0]!.length, 501);
  const lengths = flushes.map((flush) => flush.reduce((sum, item) => sum + Number(item.slice(1)), 0));
  t.true(lengths.every((weight) => weight <= 1_000), lengths.join(' '));
  t.is(flushes.flat().length, 2_005);
});

test('one that fits into no share is taken all the same, when its client begins a flush', async (t) => {
  const { batcher, flushes, flushAll } = heldLanes(10);
  batcher.add('a6');
  batcher.add('b25');
  batcher.add('c6');
  await flushAll();
  t.deepEqual(flushes.flat().toSorted(), ['a6', 'b25', 'c6']);
  t.deepEqual(flushes.find((flush) => flush.includes('b25')), ['b25']);
});

test('a client\'s part is full while what it has waiting is all that it gets of the next flush', (t) => {
  const { batcher } = heldLanes(10);
  batcher.add('a9');
  t.false(batcher.isFull('a'));
  batcher.add('a9');
  t.true(batcher.isFull('a'));
  t.false(batcher.isFull('b'), 'it has nothing there');
  batcher.add('b1');
  t.false(batcher.isFull('b'));
  batcher.add('b4');
  t.true(batcher.isFull('b'));
});

test('idleLane() waits for this client\'s own, whoever else is served before', async (t) => {
  const { batcher, flushes, flushAll } = heldLanes(2);
  batcher.add('a1');
  batcher.add('a1');
  batcher.add('a2');
  const seen: number[] = [];
  void batcher.idleLane('a').then(() => seen.push(flushes.flat().filter((item) => item.startsWith('a')).length));
  for (let count = 0; count < 4; count += 1) batcher.add('b1');
  await batcher.idleLane('c');
  await flushAll();
  t.deepEqual(seen, [3]);
});
