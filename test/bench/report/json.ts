import { writeFile } from 'node:fs/promises';
import type { Options } from '../options.ts';
import type { BenchResults } from '../run.ts';
import type { Surroundings } from './machine.ts';

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
  await writeFile(file, `${JSON.stringify(written, null, 2)}\n`);
}
