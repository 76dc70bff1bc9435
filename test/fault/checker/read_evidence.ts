import { createReadStream } from 'node:fs';
import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import type { HistoryEvent, Told } from '../history/events.ts';
import type { Evidence } from './facts.ts';
import type { Rows } from './rows.ts';

/** Everything that a run has left in its folder: `history/` of each incarnation of each process, `rows/` of the database. */
export async function readEvidence(folder: string): Promise<Evidence> {
  const told: Told[] = [];
  for (const file of await readdir(join(folder, 'history'))) {
    const by = file.replace(/\.jsonl$/, '');
    for (const event of await readLines<HistoryEvent & { at: number }>(join(folder, 'history', file))) told.push({ ...event, by });
  }
  const rows: Record<string, unknown[]> = {};
  for (const file of await readdir(join(folder, 'rows'))) rows[file.replace(/\.jsonl$/, '')] = await readLines(join(folder, 'rows', file));
  return { told: told.sort((a, b) => a.at - b.at), rows: rows as unknown as Rows };
}

async function readLines<Line>(file: string): Promise<Line[]> {
  const lines: Line[] = [];
  const pending: string[] = [];
  for await (const line of createInterface({ input: createReadStream(file), crlfDelay: Infinity })) {
    pending.push(line);
    if (pending.length > 1) lines.push(JSON.parse(pending.shift()!) as Line);
  }
  // The last line of a process that was killed in the middle of it: nothing had come of it yet.
  for (const line of pending) {
    try {
      lines.push(JSON.parse(line) as Line);
    } catch (error) {
      if (!(error instanceof SyntaxError)) throw error;
    }
  }
  return lines;
}
