import { writeFile } from 'node:fs/promises';
import type { Options } from '../options.ts';
import type { BenchResults } from '../run.ts';
import type { Surroundings } from './machine.ts';

/** Writes everything that was measured: the table's figures, and each run as it was. The database's URL stays out. */
export async function writeJson(
  file: string,
  surroundings: Surroundings,
  options: Options,
  { figures, checks, raw }: BenchResults,
): Promise<void> {
  const withoutUrl = { ...options, databaseUrl: undefined };
  const table = figures.map(({ label, values }) => ({
    figure: label.trim(),
    values: Object.fromEntries([...values].map(([{ name }, value]) => [name, value])),
  }));
  await writeFile(file, `${JSON.stringify({ surroundings, options: withoutUrl, table, checks, runs: raw }, null, 2)}\n`);
}
