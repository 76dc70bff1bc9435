import type { Clock } from '../clock.ts';
import { PROMOTE_JOBS_MAX } from '../limits.ts';
import type { Level } from '../store/levels.ts';
import type { Promotion } from '../store/promote.ts';
import type { Store } from '../store/store.ts';
import type { Standing } from './standing.ts';

const RETRY_MS = 500;

/** Moves scheduled jobs to ready when they are due: by a timer for the next one that it knows of; the tick tells of others. */
export class Promoter {
  readonly #store: Store;
  readonly #standing: Standing;
  readonly #clock: Clock;
  readonly #promoted: (levels: Level[]) => void;
  #dueMs = Infinity;
  #timer: NodeJS.Timeout | undefined;
  #running = false;
  /** Something fell due while a promotion was under way. */
  #again = false;
  #closed = false;

  constructor(deps: { store: Store; standing: Standing; clock: Clock; promoted: (levels: Level[]) => void }) {
    this.#store = deps.store;
    this.#standing = deps.standing;
    this.#clock = deps.clock;
    this.#promoted = deps.promoted;
  }

  /** A job is due at this moment of the database's clock. */
  note(runAtMs: number): void {
    this.#runIn(runAtMs - this.#standing.databaseNowMs());
  }

  #runIn(ms: number): void {
    const dueMs = this.#clock.nowMs() + Math.max(0, ms);
    if (dueMs < this.#dueMs && !this.#closed) {
      this.#dueMs = dueMs;
      clearTimeout(this.#timer);
      // setTimeout takes no more than 24 days; the tick comes by long before.
      this.#timer = this.#clock.after(Math.min(dueMs - this.#clock.nowMs(), 86_400_000), () => void this.#run());
    }
  }

  close(): void {
    this.#closed = true;
    clearTimeout(this.#timer);
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
        const { jobs, levels, nextDueMs } = await this.#promote();
        if (nextDueMs !== null) {
          this.#runIn(nextDueMs);
        }
        this.#again ||= jobs === PROMOTE_JOBS_MAX;
        if (levels.length > 0) {
          this.#promoted(levels);
        }
      }
    } catch (error) {
      this.#store.log.warn({ err: error }, 'due jobs could not be promoted; it is tried again');
      this.note(this.#standing.databaseNowMs() + RETRY_MS);
    } finally {
      this.#running = false;
    }
  }

  #promote(): Promise<Promotion> {
    this.#again = false;
    return this.#store.promote();
  }
}
