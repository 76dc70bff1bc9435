import { monotonicMs } from '../clock.ts';

/** How long handlers that never wait may keep the event loop to themselves, in milliseconds. */
const turnMsMax = 10;

/**
 * Lets the event loop breathe: handlers that answer without waiting would otherwise run through all jobs held while
 * heartbeats, receipts and cancels stand in line.
 */
export class Turn {
  #startedAtMs: number | undefined;
  #next: Promise<void> | undefined;

  /** A job starts. The first of a turn marks its beginning. */
  begin(): void {
    if (this.#startedAtMs !== undefined) return;
    this.#startedAtMs = monotonicMs();
    this.#next = new Promise((resolve) => {
      setImmediate(() => {
        this.#startedAtMs = undefined;
        this.#next = undefined;
        resolve();
      });
    });
  }

  /** What to wait for before the next job starts; undefined while there is time left. */
  pause(): Promise<void> | undefined {
    if (this.#startedAtMs === undefined || monotonicMs() - this.#startedAtMs < turnMsMax) return undefined;
    return this.#next;
  }
}
