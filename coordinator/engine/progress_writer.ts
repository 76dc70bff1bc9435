import type { Clock } from '../clock.ts';
import { PROGRESS_WAITING_BYTES_MAX } from '../limits.ts';
import type { ProgressRow } from '../store/progress.ts';
import type { Store } from '../store/store.ts';

/** What workers say of their progress is written at most this often; the newest word of each job counts. */
const WRITE_MS = 200;
/** After the database could not take it. */
const RETRY_MS = 1_000;
const ROWS_MAX = 1_000;
/** What a row weighs in our memory beside its note and checkpoint, about. */
const ROW_BYTES = 256;

/** Bounds the write rate of progress: one statement a fifth of a second, whatever the workers send. */
export class ProgressWriter {
  readonly #store: Store;
  readonly #clock: Clock;
  readonly #written: () => void;
  readonly #waiting = new Map<string, ProgressRow>();
  #waitingBytes = 0;
  /** Jobs whose progress is being written now. */
  #underWay = new Set<string>();
  #failing = false;
  #timer: NodeJS.Timeout | undefined;
  #writing: Promise<void> = Promise.resolve();

  constructor(deps: { store: Store; clock: Clock; written: () => void }) {
    this.#store = deps.store;
    this.#clock = deps.clock;
    this.#written = deps.written;
  }

  add(row: ProgressRow): void {
    const before = this.#waiting.get(row.jobId);
    this.#keep(before === undefined ? row : newest(before, row));
    this.#timer ??= this.#clock.after(WRITE_MS, () => void this.flush());
  }

  /** As much waits as this coordinator wants to hold. */
  get isFull(): boolean {
    return this.#waitingBytes >= PROGRESS_WAITING_BYTES_MAX;
  }

  /** Is anything on its way? */
  get busy(): boolean {
    return this.#waiting.size > 0 || this.#underWay.size > 0;
  }

  /** Is something of this job on its way? A report of it must come after its checkpoint. */
  has(jobId: string): boolean {
    return this.#waiting.has(jobId) || this.#underWay.has(jobId);
  }

  /** Resolves when what was said so far is written, or the database could not take it: then it is tried again. */
  flush(): Promise<void> {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    this.#writing = this.#writing.then(() => this.#write());
    return this.#writing;
  }

  #keep(row: ProgressRow): void {
    this.#forget(row.jobId);
    this.#waiting.set(row.jobId, row);
    this.#waitingBytes += rowBytes(row);
  }

  #forget(jobId: string): void {
    const row = this.#waiting.get(jobId);
    if (row !== undefined) {
      this.#waiting.delete(jobId);
      this.#waitingBytes -= rowBytes(row);
    }
  }

  /** What waits at this moment: what comes meanwhile has its own time, or a steady stream would be written without a pause. */
  async #write(): Promise<void> {
    for (let left = this.#waiting.size; left > 0; left -= ROWS_MAX) {
      const rows = [...this.#waiting.values()].slice(0, Math.min(left, ROWS_MAX));
      rows.forEach(({ jobId }) => this.#forget(jobId));
      this.#underWay = new Set(rows.map(({ jobId }) => jobId));
      try {
        await this.#store.saveProgress(rows);
        this.#failing = false;
        this.#written();
      } catch (error) {
        this.#failed(error, rows);
        return;
      } finally {
        this.#underWay.clear();
      }
    }
  }

  /**
   * Progress is a courtesy; a checkpoint that could not be saved means that the next attempt starts earlier. While the
   * database is away it waits, like the reports that come after it.
   */
  #failed(error: unknown, rows: ProgressRow[]): void {
    const again = this.#store.isAmbiguous(error);
    if (!again || !this.#failing) {
      this.#store.log.warn({ err: error, jobs: rows.length }, `progress could not be written${again ? '; it is tried again' : ''}`);
    }
    this.#failing = again;
    if (again) {
      for (const row of rows) {
        const after = this.#waiting.get(row.jobId);
        this.#keep(after === undefined ? row : newest(row, after));
      }
      this.#timer ??= this.#clock.after(RETRY_MS, () => void this.flush());
    }
  }
}

function rowBytes({ note, checkpoint }: ProgressRow): number {
  return ROW_BYTES + note.length + (checkpoint?.length ?? 0);
}

/** The later word of one job; a checkpoint stays until it is replaced. */
function newest(before: ProgressRow, after: ProgressRow): ProgressRow {
  const kept = before.leaseId === after.leaseId && after.checkpoint === null;
  return kept ? { ...after, checkpoint: before.checkpoint, checkpointType: before.checkpointType } : after;
}
