import { openSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import type { HistoryEvent } from './events.ts';

/**
 * Milliseconds on the machine's monotonic clock, which all processes share: what happened before what can be told across
 * them, whatever becomes of their wall clocks.
 */
export function monotonicMs(): number {
  return Number(process.hrtime.bigint() / 1_000n) / 1_000;
}

/**
 * What one incarnation of one process saw and did, a JSON line each. Written with one system call before it is acted on, so
 * that a SIGKILL loses nothing that had an effect; a crash of the machine is not among the faults.
 */
export class History {
  readonly #file: number;

  constructor(folder: string, name: string) {
    this.#file = openSync(join(folder, `${name}.jsonl`), 'a');
  }

  write(event: HistoryEvent): void {
    writeSync(this.#file, `${JSON.stringify({ at: monotonicMs(), ...event })}\n`);
  }
}
