import type { Clock } from '../clock.ts';
import type { Log } from '../store/store.ts';

const RETRY_MS = 500;
/** setTimeout takes no more than 24 days; whoever waits longer is told of the moment again by the tick. */
const WAIT_MS_MAX = 86_400_000;

/** What one round of the work came to. */
export interface AlarmRound {
  /** More is due already. */
  again: boolean;
  /** Milliseconds until the next is due; null: nothing is known to be. */
  nextDueMs: number | null;
}

/** Does some work when it falls due by the database's clock: by a timer for the earliest moment that it was told of, one round at a time. */
export class Alarm {
  readonly #work: () => Promise<AlarmRound>;
  readonly #what: string;
  readonly #databaseNowMs: () => number;
  readonly #clock: Clock;
  readonly #log: Log;
  #dueMs = Infinity;
  #timer: NodeJS.Timeout | undefined;
  #running = false;
  /** Something fell due while a round was under way. */
  #again = false;
  #closed = false;

  /** `what` could not be done, should a round fail: it is tried again. */
  constructor(deps: { work: () => Promise<AlarmRound>; what: string; databaseNowMs: () => number; clock: Clock; log: Log }) {
    this.#work = deps.work;
    this.#what = deps.what;
    this.#databaseNowMs = deps.databaseNowMs;
    this.#clock = deps.clock;
    this.#log = deps.log;
  }

  /** Something is due at this moment of the database's clock. */
  note(dueMs: number): void {
    this.#runIn(dueMs - this.#databaseNowMs());
  }

  close(): void {
    this.#closed = true;
    clearTimeout(this.#timer);
  }

  #runIn(ms: number): void {
    const dueMs = this.#clock.nowMs() + Math.max(0, ms);
    if (dueMs < this.#dueMs && !this.#closed) {
      this.#dueMs = dueMs;
      clearTimeout(this.#timer);
      this.#timer = this.#clock.after(Math.min(dueMs - this.#clock.nowMs(), WAIT_MS_MAX), () => void this.#run());
    }
  }

  async #run(): Promise<void> {
    this.#dueMs = Infinity;
    this.#again = true;
    if (this.#running) {
      return;
    }
    this.#running = true;
    try {
      while (this.#again && !this.#closed) {
        this.#again = false;
        const { again, nextDueMs } = await this.#work();
        this.#again ||= again;
        if (nextDueMs !== null) {
          this.#runIn(nextDueMs);
        }
      }
    } catch (error) {
      this.#log.warn({ err: error }, `${this.#what}; it is tried again`);
      this.#runIn(RETRY_MS);
    } finally {
      this.#running = false;
    }
  }
}
