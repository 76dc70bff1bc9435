import test from 'ava';
import { BARS, type Bar } from '../bench/bars/bars.ts';
import { compareWithBars, contestantsByScenario } from '../bench/bars/compare.ts';
import { renderBars } from '../bench/bars/text.ts';
import { spread } from '../bench/measure/statistics.ts';
import { SCENARIOS } from '../bench/options.ts';
import type { Figure } from '../bench/report/figure.ts';

const figure = (id: string, values: Record<string, number[]>): Figure => ({
  id,
  label: id,
  digits: 0,
  values: Object.fromEntries(Object.entries(values).map(([name, samples]) => [name, spread(samples)])),
});

const drain = figure('drain/jobs_per_second', { skiplease: [10, 30, 20], 'pg-boss': [5], 'graphile-worker': [10] });

const overTheFaster: Bar = {
  about: 'drain over the faster',
  value: [{ figure: 'drain/jobs_per_second' }],
  over: { figure: 'drain/jobs_per_second', bestOf: ['pg-boss', 'graphile-worker'], best: 'highest' },
  bound: { atLeast: 2 },
};

test('a bar compares the median with the best of the others', (t) => {
  t.like(compareWithBars([overTheFaster], [drain])[0], { measured: 2, verdict: 'met' });
  t.like(compareWithBars([{ ...overTheFaster, bound: { atLeast: 2.1 } }], [drain])[0], { verdict: 'missed' });
  const lowest = { ...overTheFaster, over: { ...overTheFaster.over!, best: 'lowest' as const }, bound: { atMost: 4 } };
  t.like(compareWithBars([lowest], [drain])[0], { measured: 4, verdict: 'met' });
});

test('figures are added up', (t) => {
  const bar: Bar = {
    about: 'the log of a job',
    value: [{ figure: 'submit/wal_bytes' }, { figure: 'drain/wal_bytes' }],
    bound: { atMost: 900 },
    unit: 'bytes',
  };
  const figures = [figure('submit/wal_bytes', { skiplease: [500] }), figure('drain/wal_bytes', { skiplease: [401] })];
  t.like(compareWithBars([bar], figures)[0], { measured: 901, verdict: 'missed' });
  t.is(renderBars(compareWithBars([bar], figures)), 'bars:\n  missed       the log of a job: 901 bytes (900 bytes at most)');
});

test('what was not measured is neither met nor missed', (t) => {
  t.like(compareWithBars([overTheFaster], [])[0], { measured: undefined, verdict: 'not measured' });
  const withoutOnePeer = figure('drain/jobs_per_second', { skiplease: [20], 'pg-boss': [5] });
  t.like(compareWithBars([overTheFaster], [withoutOnePeer])[0], { verdict: 'not measured' });
});

test('the scenarios and contestants to run follow from the bars', (t) => {
  t.deepEqual(contestantsByScenario([overTheFaster]), new Map([['drain', new Set(['skiplease', 'pg-boss', 'graphile-worker'])]]));
  t.throws(() => contestantsByScenario([{ ...overTheFaster, value: [{ figure: 'nothing/jobs_per_second' }] }]), {
    message: /nothing\/jobs_per_second/,
  });
});

test('every bar speaks of a scenario that there is', (t) => {
  const needed = contestantsByScenario(BARS);
  t.true([...needed.keys()].every((name) => SCENARIOS.includes(name)));
  t.true(needed.get('end-to-end')!.has('plain-sql'));
});
