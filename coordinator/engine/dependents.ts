import type { Clock } from '../clock.ts';
import type { Metrics } from '../observe/metrics.ts';
import type { AfterEnd } from '../store/settle_carefully.ts';
import type { Store } from '../store/store.ts';
import { Awaited, rangeOf, type IdRange } from './awaited.ts';
import type { QueueCache } from './queue_cache.ts';

/** Jobs that one statement asks for. */
const ASK_MAX = 5_000;
/** Waiting jobs that one commit sets off or cancels: a statement of some tens of milliseconds. */
const RESOLVE_JOBS_MAX = 1_000;
/** Jobs that wait to be asked for. What is beyond the sweep finds. */
const KEPT_MAX = 200_000;
const SWEEP_MS = 1_000;
/**
 * Blocks of the dependency table that one step of the sweep reads: some 12,000 rows, some tens of milliseconds. So what
 * nobody asked for waits a second for each 12,000 dependencies that there are, at most.
 */
const SWEEP_BLOCKS = 100;

/**
 * Sets off what waited for other jobs, or cancels it with them: after each commit that ended jobs somebody waits for, and
 * after each that made jobs wait. Where this coordinator does not know that somebody waits it asks nothing; the sweep, a
 * step each second, is the guarantee.
 */
export class Dependents {
  readonly #store: Store;
  readonly #queues: QueueCache;
  readonly #metrics: Metrics;
  readonly #clock: Clock;
  readonly #setGoing: (after: AfterEnd) => void;
  readonly #tellOthers: (range: IdRange) => void;
  readonly #awaited = new Awaited();
  /** In the order of their ends. */
  readonly #ended = new Set<string>();
  /** Jobs that somebody waits for since the last step of the sweep, and since the one before. */
  #lately = new Set<string>();
  #before = new Set<string>();
  #running: Promise<void> | undefined;
  #sweeping: Promise<void> | undefined;
  #timer: NodeJS.Timeout | undefined;
  /** Where the next step of the sweep begins. */
  #block = 0;
  #closed = false;

  constructor(deps: {
    store: Store; queues: QueueCache; metrics: Metrics; clock: Clock;
    setGoing: (after: AfterEnd) => void; tellOthers: (range: IdRange) => void;
  }) {
    this.#store = deps.store;
    this.#queues = deps.queues;
    this.#metrics = deps.metrics;
    this.#clock = deps.clock;
    this.#setGoing = deps.setGoing;
    this.#tellOthers = deps.tellOthers;
  }

  start(): void {
    const sweep = () => {
      this.#sweeping ??= this.#sweep();
    };
    this.#timer = this.#clock.every(SWEEP_MS, sweep);
    sweep();
  }

  async close(): Promise<void> {
    this.#closed = true;
    clearInterval(this.#timer);
    await this.#sweeping;
    await this.#running;
  }

  /** After a commit that ended these jobs. */
  ended(jobs: readonly { jobId: string }[]): void {
    if (!this.#awaited.empty) {
      this.#ask(jobs.filter(({ jobId }) => this.#awaited.has(jobId)).map(({ jobId }) => jobId));
    }
  }

  /** After a commit of jobs that wait for these. */
  awaits(jobIds: string[]): void {
    const range = rangeOf(jobIds);
    if (range === undefined) {
      return;
    }
    this.#awaited.add(range);
    this.#tellOthers(range);
    keep(this.#lately, jobIds);
    // One of them may have ended while the commit was under way: whoever ended it did not see who waits.
    this.#ask(jobIds);
  }

  /** Another coordinator says that jobs between these are waited for. */
  heard(range: IdRange): void {
    this.#awaited.add(range);
  }

  #ask(jobIds: Iterable<string>): void {
    keep(this.#ended, jobIds);
    if (this.#ended.size > 0 && !this.#closed) {
      this.#running ??= this.#run();
    }
  }

  async #run(): Promise<void> {
    while (this.#ended.size > 0 && !this.#closed) {
      await this.#resolve(this.#take());
    }
    this.#running = undefined;
  }

  #take(): string[] {
    const jobIds: string[] = [];
    for (const jobId of this.#ended) {
      if (jobIds.length === ASK_MAX) {
        break;
      }
      jobIds.push(jobId);
      this.#ended.delete(jobId);
    }
    return jobIds;
  }

  async #resolve(jobIds: string[]): Promise<void> {
    try {
      const { more, cancelled, wake } = await this.#store.resolveDependents(jobIds, RESOLVE_JOBS_MAX);
      this.#setGoing(wake);
      for (const [queueId, jobs] of Map.groupBy(cancelled, ({ queueId: id }) => id)) {
        this.#metrics.completedJobs(this.#queues.nameOf(queueId), 'cancelled', jobs.length);
      }
      // To the end of the line: a job for which a hundred thousand wait does not hold up the others.
      this.#ask([...(more ? jobIds : []), ...cancelled.map(({ jobId }) => jobId)]);
    } catch (error) {
      const passing = this.#store.isTransient(error) && !this.#store.isLocked(error);
      if (jobIds.length > 1 && !passing) {
        const half = jobIds.length >> 1;
        await this.#resolve(jobIds.slice(0, half));
        await this.#resolve(jobIds.slice(half));
        return;
      }
      this.#metrics.error('RESOLVE_FAILED');
      this.#store.log.warn({ err: error, jobs: jobIds.length }, 'jobs that waited for others could not be seen to; the sweep tries it again');
    }
  }

  async #sweep(): Promise<void> {
    try {
      // Other coordinators may have ended them before they heard that somebody waits: they have by now.
      this.#ask(this.#before);
      this.#before = this.#lately;
      this.#lately = new Set();
      const { finalIds, awaited, blocks } = await this.#store.sweepDependencies(this.#block, SWEEP_BLOCKS);
      if (awaited !== undefined) {
        this.#awaited.add(awaited);
      }
      this.#ask(finalIds);
      this.#block += SWEEP_BLOCKS;
      if (this.#block >= blocks) {
        this.#block = 0;
        this.#awaited.turn();
      }
    } catch (error) {
      // The next step tries the same again.
      this.#store.log.debug({ err: error }, 'dependencies could not be swept');
    } finally {
      this.#sweeping = undefined;
    }
  }
}

/** As many as there is room for. */
function keep(kept: Set<string>, jobIds: Iterable<string>): void {
  for (const jobId of jobIds) {
    if (kept.size === KEPT_MAX) {
      return;
    }
    kept.add(jobId);
  }
}
