import test from 'ava';
import { spread } from '../bench/measure/statistics.ts';
import { plotPanels } from '../bench/plot/panels.ts';
import { ratioFigure, spreads, type Figure } from '../bench/report/figure.ts';
import { renderTable } from '../bench/report/table.ts';

const drain: Figure = {
  id: 'drain/jobs_per_second',
  label: 'drain: jobs/s',
  digits: 0,
  heading: true,
  compared: true,
  values: { skiplease: spread([3_000, 1_000, 2_000]), 'pg-boss': spread([1_000]) },
};
const ours = (id: string, label: string, value: number): Figure => ({ id, label, digits: 0, values: { skiplease: spread([value]) } });

test('runs without a figure are left out of its spread', (t) => {
  const values = spreads<{ rate?: number }>({ a: [{ rate: 1 }, {}], b: [{}] }, ({ rate }) => rate);
  t.deepEqual(values, { a: spread([1]) });
});

test('a ratio is of medians', (t) => {
  t.is(ratioFigure('x/ratio', 'x', [1, 2, 9], [4])[0]!.values.skiplease!.median, 0.5);
  t.deepEqual(ratioFigure('x/ratio', 'x', [], [4]), []);
});

test('the table has a column for whoever has a figure, and the ratio below', (t) => {
  const hidden = { ...ours('drain/hidden', 'not to be seen', 1), hidden: true };
  const table = renderTable([drain, hidden], ['skiplease', 'pg-boss', 'bullmq']);
  t.regex(table, /2,000 \(1,000 to 3,000\)/);
  t.regex(table, /ours \/ theirs .*2\.00 ×/);
  t.notRegex(table, /bullmq|not to be seen/);
});

test('the plot has a panel for each contest that was held', (t) => {
  const [panel, ...others] = plotPanels([drain]);
  t.is(others.length, 0);
  t.like(panel, { title: 'Drain: all jobs wait' });
  t.deepEqual(panel!.rows[0], { label: 'skiplease', part: 'ours', median: 2_000, min: 1_000, max: 3_000 });
  t.like(panel!.rows[1], { label: 'pg-boss', part: 'peer' });
});

test('the plot sets a burden beside the same without it', (t) => {
  const deep = ours('backlog/many_jobs_per_second', 'backlog: jobs/s, first 10 of 1,000', 90);
  const shallow = ours('backlog/few_jobs_per_second', 'backlog: jobs/s, first 10 of as many', 100);
  t.deepEqual(
    plotPanels([deep, shallow])[0]!.rows.map(({ label, part, median }) => ({ label, part, median })),
    [
      { label: 'first 10 of 1,000', part: 'ours', median: 90 },
      { label: 'first 10 of as many', part: 'plain', median: 100 },
    ],
  );
  t.deepEqual(plotPanels([deep]), []);
});
