import { writeFile } from 'node:fs/promises';
import type { Options } from '../options.ts';
import type { BenchResults } from '../run.ts';
import type { Surroundings } from './machine.ts';
import { shorten } from './statements_text.ts';

/** Writes everything that was measured: the table's figures, and each run as it was. The database's URL stays out. */
export async function writeJson(
  file: string,
  surroundings: Surroundings,
  options: Options,
  { figures, checks, bars, raw }: BenchResults,
): Promise<void> {
  const withoutUrl = { ...options, databaseUrl: undefined };
  const table = figures.map(({ id, label, values }) => ({ id, figure: label.trim(), values }));
  const compared = bars.map(({ bar, measured, verdict }) => ({ ...bar, measured, verdict }));
  const written = { surroundings, options: withoutUrl, table, bars: compared, checks, runs: raw };
  await writeFile(file, `${JSON.stringify(written, compact, 1)}\n`);
}

const QUERY_CHARACTERS = 120;

/** No digits that say nothing, and of each statement what tells it from the others. */
function compact(key: string, value: unknown): unknown {
  if (typeof value === 'number') return Number(value.toPrecision(6));
  return key === 'query' ? shorten(value as string, QUERY_CHARACTERS) : value;
}
