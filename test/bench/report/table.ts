import Table from 'cli-table3';
import type { Spread } from '../measure/statistics.ts';
import type { Figure } from './figure.ts';

const OURS = 'skiplease';

/** The one table: a column for each contestant, ours first. Median, and the range where it matters; ours over theirs below. */
export function renderTable(figures: Figure[], allContestants: string[]): string {
  const contestants = allContestants.filter((name) => figures.some(({ values }) => values[name]));
  const table = new Table({
    head: ['median (range)', ...contestants],
    colAligns: ['left', ...contestants.map(() => 'right' as const)],
    style: { head: [], border: [], compact: true },
  });
  for (const [index, figure] of figures.filter(({ hidden }) => hidden !== true).entries()) {
    if (figure.heading && index > 0) table.push([{ content: '', colSpan: 1 + contestants.length }]);
    table.push([figure.label, ...contestants.map((name) => cell(figure.values[name], figure))]);
    const ratios = contestants.map((name) => ratio(figure, name));
    if (ratios.some((text) => text !== '')) table.push(['  ours / theirs', ...ratios]);
  }
  return table.toString();
}

function cell(value: Spread | undefined, { digits, heading }: Figure): string {
  if (!value) return '-';
  const median = number(value.median, digits);
  if (!heading || value.samples.length === 1) return median;
  return `${median} (${number(value.min, digits)} to ${number(value.max, digits)})`;
}

function ratio({ compared, values }: Figure, name: string): string {
  const [ours, theirs] = [values[OURS], values[name]];
  return !compared || name === OURS || !ours || !theirs ? '' : `${(ours.median / theirs.median).toFixed(2)} ×`;
}

function number(value: number, digits: number): string {
  return value.toLocaleString('en-US', { minimumFractionDigits: digits, maximumFractionDigits: digits });
}
