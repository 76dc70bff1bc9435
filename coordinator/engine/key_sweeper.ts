import type { Clock } from '../clock.ts';
import type { Store } from '../store/store.ts';
import type { KeyPlace } from '../store/sweep_keys.ts';

const ROUND_MS = 10_000;
/** Statements of one round. */
const STEPS_MAX = 50;

/** Forgets unique keys that are free again: a round now and then in the background, which goes on only while it finds some. */
export class KeySweeper {
  readonly #store: Pick<Store, 'sweepKeys' | 'log'>;
  readonly #clock: Clock;
  #after: KeyPlace | undefined;
  #dueMs: number;
  #running = false;

  constructor({ store, clock }: { store: Pick<Store, 'sweepKeys' | 'log'>; clock: Clock }) {
    this.#store = store;
    this.#clock = clock;
    this.#dueMs = clock.nowMs() + ROUND_MS;
  }

  /** A round, when it is time for one. */
  tick(): void {
    if (!this.#running && this.#clock.nowMs() >= this.#dueMs) {
      this.#running = true;
      void this.round()
        .catch((error: Error) => this.#store.log.debug({ err: error }, 'free unique keys could not be swept; the next round will'))
        .finally(() => {
          this.#running = false;
          this.#dueMs = this.#clock.nowMs() + ROUND_MS;
        });
    }
  }

  /** From where the last one ended. */
  async round(): Promise<void> {
    for (let step = 0; step < STEPS_MAX; step += 1) {
      const { next, deleted } = await this.#store.sweepKeys(this.#after);
      this.#after = next;
      if (next === undefined || deleted === 0) {
        return;
      }
    }
  }
}
