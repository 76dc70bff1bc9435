import type { Clock } from '../clock.ts';
import type { Store } from '../store/store.ts';

/** Below every id. */
const FIRST_ID = '00000000-0000-0000-0000-000000000000';
/** Between two rounds: milliseconds, and so many times what the last one took. */
const REST_MS_MIN = 50;
const REST_COST_FACTOR = 10;

/**
 * Adds up what batches have counted, and finishes those that are through: soon after a commit of this coordinator that may have
 * been a batch's last, and on each tick, for those of others and of SQL functions, and for all that a crash left behind. Any
 * number of coordinators do it side by side.
 */
export class BatchFolder {
  readonly #store: Store;
  readonly #clock: Clock;
  readonly #followUps: () => void;
  #timer: NodeJS.Timeout | undefined;
  #running = false;
  #again = false;
  #restUntilMs = 0;
  #closed = false;

  /** `followUps`: jobs were put into scheduled, due now or later. */
  constructor(deps: { store: Store; clock: Clock; followUps: () => void }) {
    this.#store = deps.store;
    this.#clock = deps.clock;
    this.#followUps = deps.followUps;
  }

  /** Something may have changed. */
  soon(): void {
    if (this.#running) {
      this.#again = true;
    } else if (!this.#closed) {
      this.#timer ??= this.#clock.after(Math.max(0, this.#restUntilMs - this.#clock.nowMs()), () => void this.#run());
    }
  }

  close(): void {
    this.#closed = true;
    clearTimeout(this.#timer);
  }

  async #run(): Promise<void> {
    const startedMs = this.#clock.nowMs();
    this.#timer = undefined;
    this.#running = true;
    this.#again = false;
    try {
      if (await this.#round()) {
        this.#again = true;
      }
    } catch (error) {
      this.#store.log.warn({ err: error }, 'batches could not be counted; it is tried again on the next tick');
    }
    this.#running = false;
    const endedMs = this.#clock.nowMs();
    this.#restUntilMs = endedMs + Math.max(REST_MS_MIN, REST_COST_FACTOR * (endedMs - startedMs));
    if (this.#again) {
      this.soon();
    }
  }

  /** Every batch with changes, once. True: some have more. */
  async #round(): Promise<boolean> {
    let more = false;
    for (let afterId = FIRST_ID; !this.#closed;) {
      const fold = await this.#store.foldBatches(afterId);
      if (fold === undefined) {
        break;
      }
      more ||= fold.more;
      if (fold.followUps) {
        this.#followUps();
      }
      afterId = fold.lastId;
    }
    return more;
  }
}
