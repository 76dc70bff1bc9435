import { setTimeout as delay } from 'node:timers/promises';
import type { Clock } from '../clock.ts';
import type { Metrics } from '../observe/metrics.ts';
import type { Retirement } from '../store/retire.ts';
import type { Store } from '../store/store.ts';

/** The first look soon after the start: where coordinators do not live long, it is still done. */
const FIRST_LOOK_MS = 60_000;
const LOOK_MS = 600_000;
/** A lock that is not to be had is asked for again after so long, at first and at last. */
const AGAIN_MS_MIN = 1_000;
const AGAIN_MS_MAX = 60_000;
/** A step of the walk is made as long as this, and is followed by a rest so many times as long: a tenth of two cores. */
const STEP_MS = 100;
const REST_FACTOR = 4;
const STEP_JOBS_MAX = 10_000;
/** A database that answers slowly is no reason to take fewer, or it would never end; only what it cannot do in time is. */
const STEP_JOBS_MIN = 500;

/** Drops old partitions, in the background and at its own pace: nothing else waits for it. */
export class Retirer {
  readonly #store: Store;
  readonly #metrics: Metrics;
  readonly #clock: Clock;
  readonly #databaseNowMs: () => number;
  readonly #stop = new AbortController();
  #dueMs: number;
  #running: Promise<void> | undefined;

  constructor(deps: { store: Store; metrics: Metrics; clock: Clock; databaseNowMs: () => number }) {
    this.#store = deps.store;
    this.#metrics = deps.metrics;
    this.#clock = deps.clock;
    this.#databaseNowMs = deps.databaseNowMs;
    this.#dueMs = deps.clock.nowMs() + FIRST_LOOK_MS;
  }

  /** Looks when it is time to. */
  tick(): void {
    if (this.#running === undefined && this.#clock.nowMs() >= this.#dueMs && !this.#stop.signal.aborted) {
      this.#running = this.run().finally(() => {
        this.#running = undefined;
        this.#dueMs = this.#clock.nowMs() + LOOK_MS;
      });
    }
  }

  /** Drops all that is old enough. Never rejects: what failed is tried again at the next look. */
  async run(): Promise<void> {
    try {
      while (await this.#look()) {
        // There may be more than are dropped at once.
      }
    } catch (error) {
      if (!this.#stop.signal.aborted) {
        this.#metrics.error('RETENTION_FAILED');
        this.#store.log.warn({ event: 'retention_failed', err: error }, 'old partitions could not be dropped; it is tried again');
      }
    }
  }

  /** A retirement in progress is left as it is: the next one takes it up. */
  async close(): Promise<void> {
    this.#stop.abort();
    await this.#running;
  }

  /** True: it dropped some. */
  async #look(): Promise<boolean> {
    const retirement = await this.#store.retire();
    if (retirement === undefined) {
      return false;
    }
    try {
      this.#metrics.oldestPartition(() => (this.#databaseNowMs() - retirement.oldestMs) / 1_000);
      if (retirement.expired.length === 0) {
        return false;
      }
      await this.#exchange(retirement);
      // Should this not come to its end, the next time does it.
      while ((await this.#step(() => retirement.forget())).result) {
        // One statement at a time.
      }
      return true;
    } finally {
      await retirement.close();
    }
  }

  async #exchange(retirement: Retirement): Promise<void> {
    await this.#whenUnlocked(() => retirement.prepare());
    const jobs = await this.#carryOver(retirement);
    const { before, after } = await retirement.sizes();
    await this.#whenUnlocked(() => retirement.swap());
    const partitions = retirement.expired;
    this.#metrics.partitionsDropped(partitions.length, jobs);
    this.#store.log.info({ event: 'partitions_dropped', partitions, jobs_carried_over: jobs, bytes_returned: before - after }, 'old jobs are forgotten');
  }

  /** Returns how many jobs stay. */
  async #carryOver(retirement: Retirement): Promise<number> {
    let stepJobs = STEP_JOBS_MIN;
    let jobs = 0;
    for (;;) {
      const { result: step, tookMs } = await this.#step(() => retirement.carryOver(stepJobs));
      jobs += step?.jobs ?? 0;
      if (step?.done === true) {
        return jobs;
      }
      if (step === undefined) {
        stepJobs = Math.max(1, stepJobs >> 1);
      } else if (tookMs > STEP_MS) {
        stepJobs = Math.max(Math.min(stepJobs, STEP_JOBS_MIN), stepJobs >> 1);
      } else if (tookMs < STEP_MS / 2) {
        stepJobs = Math.min(STEP_JOBS_MAX, stepJobs * 2);
      }
    }
  }

  /** One step, and its rest. */
  async #step<Result>(work: () => Promise<Result>): Promise<{ result: Result; tookMs: number }> {
    const started = this.#clock.nowMs();
    const result = await work();
    const tookMs = this.#clock.nowMs() - started;
    await this.#rest(tookMs * REST_FACTOR);
    return { result, tookMs };
  }

  /** Tries until a lock could be had: whoever keeps a transaction open delays us, and we hold up others for a moment a minute. */
  async #whenUnlocked(work: () => Promise<boolean>): Promise<void> {
    for (let againMs = AGAIN_MS_MIN; !(await work()); againMs = Math.min(AGAIN_MS_MAX, againMs * 2)) {
      await this.#rest(againMs);
    }
  }

  /** Rejects when the coordinator stops. */
  #rest(ms: number): Promise<void> {
    return delay(ms, undefined, { signal: this.#stop.signal, ref: false });
  }
}
