/** Ids that the worker library makes: in order, and of this moment, whatever is done to the clock. */
import test from 'ava';
import { uuidTimeMs } from '../../coordinator/rpc/ids.ts';
import { newJobId } from '../../worker/index.ts';

const NOW_MS = Date.UTC(2026, 0, 1);
const HOUR_MS = 3_600_000;

/** The ids that are made while the wall clock shows these moments, one after the other. */
function idsAt(momentsMs: number[]): string[] {
  const { now } = Date;
  try {
    return momentsMs.map((momentMs) => {
      Date.now = () => momentMs;
      return newJobId();
    });
  } finally {
    Date.now = now;
  }
}

test.serial('they are in order within a millisecond, and over a small step back', (t) => {
  const ids = idsAt([NOW_MS, NOW_MS, NOW_MS + 5, NOW_MS + 4, NOW_MS - 900, NOW_MS + 6]);
  t.deepEqual(ids.toSorted(), ids);
  t.is(new Set(ids).size, ids.length);
});

test.serial('a clock that was set wrong and is set right again leaves no ids in the future', (t) => {
  const [wrong, right] = idsAt([NOW_MS + 2 * HOUR_MS, NOW_MS]);
  t.is(uuidTimeMs(wrong!), NOW_MS + 2 * HOUR_MS);
  t.is(uuidTimeMs(right!), NOW_MS);
});
