import test from 'ava';
import { benchPayload } from '../bench/measure/payload.ts';
import { percentile, spread } from '../bench/measure/statistics.ts';
import { isExact, Tally } from '../bench/measure/tally.ts';
import { parseOptions } from '../bench/options.ts';
import { queueNames, queueOf } from '../bench/skiplease/preset.ts';
import { submitInChunks } from '../bench/submit_in_chunks.ts';

test('a spread is the median and the range', (t) => {
  t.like(spread([3, 1, 2]), { median: 2, min: 1, max: 3 });
  t.is(spread([1, 2]).median, 1.5);
  t.is(percentile([0, 10], 95), 9.5);
  t.throws(() => spread([]));
});

test('a payload is as long as asked for', (t) => {
  t.is(JSON.stringify(benchPayload(7, 100)).length, 100);
  t.is(JSON.stringify(benchPayload(123_456, 100, 98_765.125)).length, 100);
  t.is(JSON.stringify(benchPayload(7, 1)), '{"n":7,"p":""}');
});

test('a delivery is exact when each job came once and is complete', (t) => {
  const tally = new Tally();
  tally.expect(10, 2);
  tally.handled(10);
  tally.handled(11);
  t.false(isExact(tally.delivery));
  tally.durable(2);
  t.true(isExact(tally.delivery));
  tally.handled(11);
  t.like(tally.delivery, { handled: 3, distinct: 2, duplicates: 1 });
  t.false(isExact(tally.delivery));
});

test('a job that nobody expected spoils a delivery', (t) => {
  const tally = new Tally();
  tally.expect(0, 1);
  tally.handled(0);
  tally.handled(5);
  tally.durable(2);
  t.false(isExact(tally.delivery));
});

test('a worker that was stopped early goes on counting later', async (t) => {
  const tally = new Tally();
  tally.expect(0, 10, 3);
  [0, 1, 2, 3].forEach((number) => tally.handled(number));
  // Four completions, and one job handed back: its receipt says committed, too.
  tally.durable(5);
  t.true(isExact(tally.delivery));
  tally.expectMore(0, 12, 6);
  tally.handled(4);
  const finished = tally.finished(1_000);
  tally.handled(5);
  tally.durable(2);
  t.is(typeof (await finished), 'number');
  t.true(isExact(tally.delivery));
  tally.handled(3);
  t.like(tally.delivery, { duplicates: 1 });
});

test('what is not finished by its deadline says what is missing', async (t) => {
  const tally = new Tally();
  tally.expect(0, 1);
  await t.throwsAsync(tally.finished(1), { message: /"expected":1,.*"distinct":0/ });
});

test('a flood is cut into calls, so many in flight', async (t) => {
  const submitted: number[] = [];
  let inFlight = 0;
  let most = 0;
  await submitInChunks({ first: 5, count: 25, together: 10, inFlight: 2 }, async (numbers) => {
    inFlight += 1;
    most = Math.max(most, inFlight);
    await Promise.resolve();
    submitted.push(...numbers);
    inFlight -= 1;
  });
  t.is(most, 2);
  t.deepEqual(submitted.toSorted((left, right) => left - right), Array.from({ length: 25 }, (_, index) => 5 + index));
});

test('jobs are spread evenly over queue names', (t) => {
  for (const queues of [1, 300, 10_000]) {
    t.is(new Set(queueNames(queues)).size, queues);
    t.true(queueNames(queues).includes(queueOf(123_456, queues)));
  }
});

test('options that make no sense are refused', (t) => {
  t.throws(() => parseOptions(['drian']), { message: /no such scenario: drian/ });
  t.throws(() => parseOptions(['--jobs', 'many']), { message: /--jobs takes a whole number/ });
  t.throws(() => parseOptions(['--quick', '--check']), { message: /--quick/ });
  t.like(parseOptions(['--check']), { waiting: 10_000_000, jobs: 100_000, rounds: undefined });
  t.like(parseOptions(['--quick', 'drain']), { scenarios: ['drain'], jobs: 3_000 });
});
