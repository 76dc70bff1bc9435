import type { Clock } from '../clock.ts';
import type { ProgressRow } from '../store/progress.ts';
import type { Store } from '../store/store.ts';

/** What workers say of their progress is written at most this often; the newest word of each job counts. */
const WRITE_MS = 200;
const ROWS_MAX = 1_000;

/** Bounds the write rate of progress: one statement a fifth of a second, whatever the workers send. */
export class ProgressWriter {
  readonly #store: Store;
  readonly #clock: Clock;
  readonly #waiting = new Map<string, ProgressRow>();
  #timer: NodeJS.Timeout | undefined;
  #writing: Promise<void> = Promise.resolve();

  constructor(deps: { store: Store; clock: Clock }) {
    this.#store = deps.store;
    this.#clock = deps.clock;
  }

  add(row: ProgressRow): void {
    const before = this.#waiting.get(row.jobId);
    if (before !== undefined && before.leaseId === row.leaseId && row.checkpoint === null) {
      row.checkpoint = before.checkpoint;
      row.checkpointType = before.checkpointType;
    }
    this.#waiting.set(row.jobId, row);
    this.#timer ??= this.#clock.after(WRITE_MS, () => void this.flush());
  }

  /** Is something of this job on its way? A report of it must come after its checkpoint. */
  has(jobId: string): boolean {
    return this.#waiting.has(jobId);
  }

  /** Resolves when what was said so far is written. */
  flush(): Promise<void> {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    this.#writing = this.#writing.then(() => this.#write());
    return this.#writing;
  }

  async #write(): Promise<void> {
    while (this.#waiting.size > 0) {
      const rows = [...this.#waiting.values()].slice(0, ROWS_MAX);
      rows.forEach(({ jobId }) => this.#waiting.delete(jobId));
      try {
        await this.#store.saveProgress(rows);
      } catch (error) {
        // Progress is a courtesy; a checkpoint that could not be saved means that the next attempt starts earlier.
        this.#store.log.warn({ err: error, jobs: rows.length }, 'progress could not be written');
      }
    }
  }
}
