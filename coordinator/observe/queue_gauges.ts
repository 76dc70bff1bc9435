import type { QueueWork } from './workload.ts';

/** What one queue looks like, as a scrape shows it. */
export interface QueueSample extends QueueWork {
  queue: string;
  scheduled: number;
  /** By what they wait for. */
  blocked: Readonly<Record<BlockedReason, number>>;
  /** undefined: none waits. */
  oldestReadyAgeSeconds: number | undefined;
  /** Some connected worker takes jobs of it. */
  served: boolean;
}

export const BLOCKED_REASONS = ['dependency', 'serial_key', 'limit_key'] as const;
export type BlockedReason = (typeof BLOCKED_REASONS)[number];

interface Timing {
  /** Several scrapers, or one in a hurry, share one look at the database for this long. */
  maxAgeMs: number;
  /** A scraper gives up after 10 s as a rule, and takes who has not answered by then for dead. */
  waitMs: number;
}

/**
 * Asks for depths at most every few seconds, and waits for them a little. While a look takes longer the last depths are
 * shown, with an age that grows; when it fails they are absent, not zero: an autoscaler must not mistake an outage for an empty queue.
 */
export class QueueCollector {
  readonly #read: () => Promise<QueueSample[]>;
  readonly #onFailure: (reason: string) => void;
  readonly #timing: Timing;
  /** Of the last look that succeeded. */
  #samples: QueueSample[] = [];
  /** The last look failed, or there was none. */
  #failed = true;
  /** When the last look that succeeded began; before the first, when we did. */
  #seenAtMs = performance.now();
  #lookedAtMs = -Infinity;
  #looking = false;
  /** The end of the look under way, or of waiting for it. */
  #waited: Promise<void> = Promise.resolve();

  constructor(read: () => Promise<QueueSample[]>, onFailure: (reason: string) => void, timing: Timing = { maxAgeMs: 5_000, waitMs: 3_000 }) {
    this.#read = read;
    this.#onFailure = onFailure;
    this.#timing = timing;
  }

  async samples(): Promise<QueueSample[]> {
    await this.#lookWhenDue(this.#timing.maxAgeMs);
    return this.#failed ? [] : this.#samples;
  }

  /** No older than so long; undefined: they cannot be had now. */
  async recentSamples(maxAgeMs: number): Promise<QueueSample[] | undefined> {
    await this.#lookWhenDue(maxAgeMs);
    const known = !this.#failed && performance.now() - this.#seenAtMs <= maxAgeMs + this.#timing.waitMs;
    return known ? this.#samples : undefined;
  }

  /** Seconds since the look began that `samples` shows. */
  async ageSeconds(): Promise<number> {
    await this.#lookWhenDue(this.#timing.maxAgeMs);
    return (performance.now() - this.#seenAtMs) / 1_000;
  }

  #lookWhenDue(maxAgeMs: number): Promise<void> {
    if (!this.#looking && performance.now() - this.#lookedAtMs >= maxAgeMs) {
      this.#waited = atMost(this.#timing.waitMs, this.#look());
    }
    return this.#waited;
  }

  async #look(): Promise<void> {
    this.#looking = true;
    this.#lookedAtMs = performance.now();
    try {
      const samples = await this.#read();
      this.#samples = [...samples, ...vanished(this.#samples, samples)];
      this.#failed = false;
      this.#seenAtMs = this.#lookedAtMs;
    } catch {
      this.#failed = true;
      this.#onFailure('QUEUE_DEPTHS_UNREADABLE');
    } finally {
      this.#looking = false;
    }
  }
}

/** Resolves with `done`, which never rejects, or after so many milliseconds. */
function atMost(ms: number, done: Promise<void>): Promise<void> {
  return new Promise((resolve) => {
    const timer = setTimeout(resolve, ms);
    void done.then(() => {
      clearTimeout(timer);
      resolve();
    });
  });
}

/** Queues that were there at the last look go through zero: who scales their workers would keep them for ever. */
function vanished(before: readonly QueueSample[], now: readonly QueueSample[]): QueueSample[] {
  const names = new Set(now.map(({ queue }) => queue));
  return before.filter(({ queue }) => !names.has(queue)).map((sample) => ({
    ...sample, ready: 0, leased: 0, scheduled: 0, blocked: { dependency: 0, serial_key: 0, limit_key: 0 }, oldestReadyAgeSeconds: undefined,
  }));
}
