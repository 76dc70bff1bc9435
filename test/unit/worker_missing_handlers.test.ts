import test from 'ava';
import { MissingHandlers } from '../../worker/run/missing_handlers.ts';
import { KeptLog } from './worker_parts.ts';

test('the delay doubles while jobs of the type keep coming after it, up to a minute; one warning a minute', (t) => {
  let nowMs = 0;
  const log = new KeptLog();
  const missing = new MissingHandlers(['known'], log, () => nowMs);
  const delays: number[] = [];
  const look = (atMs: number): void => {
    nowMs = atMs;
    delays.push(missing.delayMs('unknown', 'queue'));
  };
  [0, 1, 4_999].forEach(look);
  t.deepEqual(delays.splice(0), [5_000, 5_000, 5_000], 'a crowd that comes at once counts once');
  [5_000, 15_000, 35_000, 75_000, 135_000].forEach(look);
  t.deepEqual(delays.splice(0), [10_000, 20_000, 40_000, 60_000, 60_000]);
  t.deepEqual(log.events('no_handler').map(({ fields }) => fields.delay_ms), [5_000, 60_000, 60_000]);
  t.regex(log.lines[0]!.message, /unknown \(queue queue\).*handlers here: known/);
});

test('a type that was not seen for two minutes begins anew; each type has its own delay', (t) => {
  let nowMs = 0;
  const missing = new MissingHandlers([], new KeptLog(), () => nowMs);
  missing.delayMs('a', 'queue');
  nowMs = 5_000;
  t.is(missing.delayMs('a', 'queue'), 10_000);
  t.is(missing.delayMs('b', 'queue'), 5_000);
  nowMs += 120_001;
  t.is(missing.delayMs('a', 'queue'), 5_000);
});
