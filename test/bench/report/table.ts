import Table from 'cli-table3';
import type { Contestant } from '../contestant.ts';
import type { Spread } from '../measure/statistics.ts';
import type { Figure } from './figures.ts';

/** The one table: a column for each contestant (ours first), then ours over theirs. Median, and the range below it. */
export function renderTable(figures: Figure[], contestants: Contestant[]): string {
  const [ours, ...others] = contestants;
  const peers = ours?.name === 'skiplease' ? others : [];
  const table = new Table({
    head: ['median (range)', ...contestants.map(({ name }) => name), ...peers.map(({ name }) => `ours / ${name}`)],
    colAligns: ['left', ...contestants.map(() => 'right' as const), ...peers.map(() => 'right' as const)],
    style: { head: [], border: [], compact: true },
  });
  for (const [index, figure] of figures.entries()) {
    if (figure.heading && index > 0) table.push([{ content: '', colSpan: 1 + contestants.length + peers.length }]);
    table.push([
      figure.label,
      ...contestants.map((contestant) => cell(figure.values.get(contestant), figure)),
      ...peers.map((peer) => ratio(figure, ours!, peer)),
    ]);
  }
  return table.toString();
}

function cell(value: Spread | undefined, { digits, heading }: Figure): string {
  if (!value) return '-';
  const median = number(value.median, digits);
  if (!heading || value.samples.length === 1) return median;
  return `${median} (${number(value.min, digits)} to ${number(value.max, digits)})`;
}

function ratio(figure: Figure, ours: Contestant, peer: Contestant): string {
  const [mine, theirs] = [figure.values.get(ours), figure.values.get(peer)];
  if (!figure.compared || !mine || !theirs) return '';
  return `${(mine.median / theirs.median).toFixed(2)} ×`;
}

function number(value: number, digits: number): string {
  return value.toLocaleString('en-US', { minimumFractionDigits: digits, maximumFractionDigits: digits });
}
