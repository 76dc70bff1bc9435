import type { Clock } from '../clock.ts';
import type { Level } from '../store/levels.ts';
import type { Store } from '../store/store.ts';
import { Alarm, type AlarmRound } from './alarm.ts';

/** Tokens may come back faster than a sweep is worth. */
const SWEEP_EVERY_MS = 5;

/**
 * Looks at gates when they are due (a token of a limit key comes back) and at those of which something has started: as soon
 * as it hears of one, when the next one that it knows of is due, and at each tick for those of which nobody thinks any more.
 */
export class Gatekeeper {
  readonly #store: Store;
  readonly #databaseNowMs: () => number;
  readonly #letIn: (levels: Level[]) => void;
  readonly #alarm: Alarm;

  constructor(deps: { store: Store; databaseNowMs: () => number; clock: Clock; letIn: (levels: Level[]) => void }) {
    this.#store = deps.store;
    this.#databaseNowMs = deps.databaseNowMs;
    this.#letIn = deps.letIn;
    this.#alarm = new Alarm({ work: () => this.#sweep(), what: 'gates could not be looked at', ...deps, log: deps.store.log });
  }

  /** Gates may be due. */
  soon(): void {
    this.#alarm.note(this.#databaseNowMs());
  }

  close(): void {
    this.#alarm.close();
  }

  /** Changes of limits that another coordinator did not see through. */
  async seeThrough(): Promise<void> {
    for (const queueId of await this.#store.changedLimits()) {
      await this.review(queueId);
    }
  }

  /** A queue's limits were changed, and no claim from before it runs any more: leases and gates are made to fit. */
  async review(queueId: number): Promise<void> {
    await this.#store.reviewLimits(queueId, this.#letIn);
    this.soon();
  }

  async #sweep(): Promise<AlarmRound> {
    const { levels, nextDueMs } = await this.#store.sweepGates();
    this.#letIn(levels);
    return { again: false, nextDueMs: nextDueMs === null ? null : Math.max(SWEEP_EVERY_MS, nextDueMs) };
  }
}
