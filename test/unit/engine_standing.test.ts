/** How a coordinator stands with the database decides what it may promise, and whether it may give anybody up. */
import test from 'ava';
import type { Clock } from '../../coordinator/clock.ts';
import { Standing } from '../../coordinator/engine/standing.ts';

const TTL_MS = 10_000;

function standingAt(nowMs: number) {
  const clock = { now: nowMs };
  const standing = new Standing(TTL_MS, { nowMs: () => clock.now } as Clock);
  return {
    standing,
    /** A tick each second that commits, up to this moment. */
    beatUntil: (untilMs: number) => {
      for (; clock.now < untilMs; clock.now += 1_000) standing.renewed(clock.now, clock.now + 5_000_000);
      clock.now = untilMs;
    },
    at: (ms: number) => {
      clock.now = ms;
    },
  };
}

test('before its first heartbeat it promises nothing and gives up nobody', (t) => {
  const { standing } = standingAt(0);
  t.false(standing.mayReap);
  t.is(standing.validForMs(), 0);
});

test('it gives up nobody until its heartbeats have committed for one time to live', (t) => {
  const { standing, beatUntil } = standingAt(0);
  beatUntil(9_999);
  t.false(standing.mayReap);
  beatUntil(10_000);
  t.true(standing.mayReap);
});

test('a break as long as the time to live starts the count anew, a shorter one does not', (t) => {
  const { standing, beatUntil, at } = standingAt(0);
  beatUntil(20_000);
  at(28_000);
  t.true(standing.mayReap, 'a slow tick is no break');
  at(29_500);
  t.false(standing.mayReap, 'its row may have expired');
  at(40_000);
  beatUntil(40_001);
  t.false(standing.mayReap, 'the fleet renews first');
  beatUntil(49_000);
  t.false(standing.mayReap);
  beatUntil(50_000);
  t.true(standing.mayReap);
});

test('what it promises to workers shrinks once its own row has expired, and ends when others may act', (t) => {
  const { standing, beatUntil, at } = standingAt(0);
  beatUntil(1_000);
  const promises = [1_000, 10_000, 12_000, 19_999, 20_000, 30_000].map((ms) => {
    at(ms);
    return standing.validForMs();
  });
  t.deepEqual(promises, [10_000, 10_000, 8_000, 1, 0, 0]);
});

test('after a break in which others may have acted it promises nothing until it was looked what they took', (t) => {
  const { standing, beatUntil, at } = standingAt(0);
  beatUntil(5_001);
  t.is(standing.openDoubts, undefined, 'a coordinator that has just begun has nothing to lose');
  at(40_000);
  standing.renewed(40_000, 0);
  t.is(standing.validForMs(), 0);
  const look = standing.openDoubts!;
  // It is away once more before the answer is here, which tells nothing of that time.
  at(60_000);
  standing.renewed(60_000, 0);
  standing.settleDoubts(look);
  t.is(standing.validForMs(), 0);
  standing.settleDoubts(standing.openDoubts!);
  t.is(standing.validForMs(), TTL_MS);
  standing.renewed(60_000, 0, true);
  t.is(standing.validForMs(), 0, 'its row was gone');
});

test('the database\'s time is told by a measured offset, from the middle of the tick', (t) => {
  const { standing, at } = standingAt(1_000);
  at(1_200);
  standing.renewed(1_000, 7_000_100);
  t.is(standing.databaseNowMs(), 7_000_200);
  at(1_500);
  t.is(standing.databaseNowMs(), 7_000_500);
  t.is(standing.silentMs, 500);
});
