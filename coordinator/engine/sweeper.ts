import type { Store } from '../store/store.ts';

const SWEEP_LEASES_MAX = 1_000;
/** Those beyond are left to the sweep of all leases, once a minute (Store.sweepAllLeases). */
const FINISHED_MAX = 100_000;

/**
 * Leases that are settled to the end, whose rows are to be deleted. The settle deletes them in passing (no statement of
 * their own while work flows); the tick takes what is left. Rows that somebody locks are tried again.
 */
export class Sweeper {
  readonly #store: Store;
  #finished: bigint[] = [];

  constructor(store: Store) {
    this.#store = store;
  }

  add(leaseId: bigint): void {
    if (this.#finished.length < FINISHED_MAX) {
      this.#finished.push(leaseId);
    }
  }

  /** The finished leases for a settle to delete in passing. */
  take(): bigint[] {
    return this.#finished.splice(0, SWEEP_LEASES_MAX);
  }

  /** On the tick: what no settle took along. */
  async sweep(): Promise<void> {
    const leaseIds = this.take();
    if (leaseIds.length === 0) {
      return;
    }
    try {
      const deleted = new Set(await this.#store.sweepLeases(leaseIds));
      this.#finished.push(...leaseIds.filter((id) => !deleted.has(id)));
    } catch (error) {
      this.#finished.push(...leaseIds);
      throw error;
    }
  }
}
