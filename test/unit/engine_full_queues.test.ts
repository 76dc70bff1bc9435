/** Full queues are left out of claims until there may be room: a token is due, something has ended, or a while has passed. */
import { mock } from 'node:test';
import anyTest from 'ava';
import type { Clock } from '../../coordinator/clock.ts';
import { FullQueues } from '../../coordinator/engine/full_queues.ts';

// One after the other: they share the time.
const test = anyTest.serial;

mock.timers.enable({ apis: ['setTimeout', 'Date'], now: 1_000 });
const clock: Clock = { nowMs: () => Date.now(), after: (ms, run) => setTimeout(run, ms), every: (ms, run) => setInterval(run, ms) };
anyTest.after(() => mock.timers.reset());

function fullQueues() {
  let woken = 0;
  const full = new FullQueues({ clock, room: () => (woken += 1) });
  return { full, woken: () => woken };
}

test('each until its own moment, and half a second at most', (t) => {
  const { full, woken } = fullQueues();
  full.add(1, null);
  full.add(2, 20);
  full.add(3, 10_000);
  mock.timers.tick(19);
  t.deepEqual([1, 2, 3].map((id) => full.has(id)), [true, true, true]);
  t.is(woken(), 0);
  mock.timers.tick(1);
  t.deepEqual([1, 2, 3].map((id) => full.has(id)), [true, false, true]);
  t.is(woken(), 1);
  mock.timers.tick(480);
  t.deepEqual([1, 3].map((id) => full.has(id)), [false, false]);
  t.is(woken(), 2);
});

test('once something has ended there may be room at once; a closed one wakes nobody', (t) => {
  const { full, woken } = fullQueues();
  full.add(1, null);
  full.roomIn(1);
  t.false(full.has(1));
  full.add(2, 5);
  full.close();
  mock.timers.tick(1_000);
  t.is(woken(), 0);
});
