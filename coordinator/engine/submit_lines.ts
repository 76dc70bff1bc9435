import type { Clock } from '../clock.ts';
import { SkipleaseError } from '../errors.ts';
import { jobBytes } from '../job_bytes.ts';
import { SUBMIT_WAITING_MS_MAX } from '../limits.ts';
import type { Metrics } from '../observe/metrics.ts';
import type { Store } from '../store/store.ts';
import type { SubmitRow } from '../store/submit.ts';
import type { NewJob } from '../types.ts';
import { Admission, type ClientLimits, type SubmitWeight } from './admission.ts';
import { Batcher } from './batcher.ts';
import { Ceilings } from './ceilings.ts';
import type { SubmitAnswer } from './engine.ts';
import type { QueueCache } from './queue_cache.ts';

/** Jobs that one flush commits together. */
const FLUSH_JOBS_MAX = 5_000;
/** Likewise of those with options: more work for each, and rows of others that they lock. */
const FLUSH_SPECIAL_JOBS_MAX = 1_000;
/** So many jobs that are waited for are as much work as a job. */
const AWAITED_AS_ONE_JOB = 5;
/** So many bytes count as a job in a flush, if its jobs weigh more: a statement has 16 MiB at most, or one submit. */
const BYTES_AS_ONE_JOB = (16 * 1024 * 1024) / FLUSH_JOBS_MAX;
/** What a client whose submit waited for too long waits before it tries again: milliseconds. */
const RETRY_AFTER_MS = 1_000;

/** A submit in line. */
export interface Caller extends SubmitWeight {
  rows: SubmitRow[];
  /** Since when it waits. */
  sinceMs: number;
  resolve(answer: SubmitAnswer): void;
  reject(error: unknown): void;
}

/**
 * Submits that wait for their commit: bounded, in turn among clients, and none for long. Plain ones and those of which some jobs
 * have options stand in lines of their own.
 */
export class SubmitLines {
  readonly #queues: QueueCache;
  readonly #metrics: Metrics;
  readonly #clock: Clock;
  readonly #admission: Admission;
  readonly #ceilings: Ceilings;
  readonly #plain: Batcher<Caller>;
  /** Callers of whose jobs some have options. */
  readonly #special: Batcher<Caller>;
  /** The last submit of each client that waits for something before it may stand in line. */
  readonly #entering = new Map<string, Promise<void>>();

  /** Either flush must answer its callers, and never reject. */
  constructor(deps: {
    store: Store; queues: QueueCache; metrics: Metrics; clock: Clock; clientLimits: ClientLimits;
    flush: (callers: Caller[]) => Promise<void>; flushSpecial: (callers: Caller[]) => Promise<void>;
  }) {
    this.#queues = deps.queues;
    this.#metrics = deps.metrics;
    this.#clock = deps.clock;
    this.#admission = new Admission(deps.clientLimits, deps.clock);
    this.#ceilings = new Ceilings(deps);
    const laneOf = ({ client }: Caller) => client;
    this.#plain = new Batcher((all) => this.#flushInTime(all, deps.flush), FLUSH_JOBS_MAX, plainWeight, laneOf);
    this.#special = new Batcher((all) => this.#flushInTime(all, deps.flushSpecial), FLUSH_SPECIAL_JOBS_MAX, specialWeight, laneOf);
  }

  /** Its part of the next flush is not full yet. */
  wantsMore(client: string): boolean {
    return !this.#plain.isFull(client) && !this.#special.isFull(client);
  }

  /** Why a submit of this client is turned away now; undefined: it is not. */
  refusal(client: string): SkipleaseError | undefined {
    const refusal = this.#admission.refusal(client);
    if (refusal !== undefined) {
      this.#countRefused(refusal, 1);
    }
    return refusal;
  }

  async submit(jobs: NewJob[], client: string): Promise<SubmitAnswer> {
    const weight: SubmitWeight = { client, jobs: jobs.length, bytes: jobs.reduce((sum, job) => sum + jobBytes(job), 0) };
    this.#enterOrRefuse(weight);
    const sinceMs = this.#clock.nowMs();
    return new Promise((resolve, reject) => {
      const add = (rows: SubmitRow[]) => this.#add({ ...weight, rows, sinceMs, resolve, reject });
      const known = this.#entering.has(client) ? undefined : this.#queues.knownRows(jobs);
      if (known !== undefined && !this.#ceilings.concern(known)) {
        add(known);
      } else {
        this.#enterLater(jobs, client, add).catch((error: Error) => {
          this.#admission.leave(weight);
          this.#countRefused(error, 1);
          reject(error);
        });
      }
    });
  }

  #enterOrRefuse(weight: SubmitWeight): void {
    try {
      this.#admission.enter(weight);
    } catch (error) {
      this.#countRefused(error, 1);
      throw error;
    }
  }

  /**
   * Its queues are looked up, or whether they are full. In the order of the client's calls: who must wait holds up those who
   * come after, or a stream's chunks would overtake each other.
   */
  async #enterLater(jobs: NewJob[], client: string, add: (rows: SubmitRow[]) => void): Promise<void> {
    const entered = (this.#entering.get(client) ?? Promise.resolve()).then(async () => {
      const rows = await this.#queues.rows(jobs);
      await this.#ceilings.admit(rows);
      add(rows);
    });
    const last = entered.catch(() => {});
    this.#entering.set(client, last);
    try {
      await entered;
    } finally {
      if (this.#entering.get(client) === last) {
        this.#entering.delete(client);
      }
    }
  }

  /** Those with options come after the plain ones of their client that came before: jobs may wait for those. */
  #add(caller: Caller): void {
    if (caller.rows.some(({ job }) => job.options !== null)) {
      void this.#plain.idleLane(caller.client).then(() => this.#special.add(caller));
    } else {
      this.#plain.add(caller);
    }
  }

  /** Resolves when every submit so far is answered. */
  async idle(): Promise<void> {
    await this.#plain.idle();
    await this.#special.idle();
  }

  /** Flushes those who have not waited for too long; the others are told so. */
  async #flushInTime(all: Caller[], flush: (callers: Caller[]) => Promise<void>): Promise<void> {
    const startedMs = this.#clock.nowMs();
    const isLate = ({ sinceMs }: Caller) => startedMs - sinceMs > SUBMIT_WAITING_MS_MAX;
    const late = all.filter(isLate);
    const callers = late.length === 0 ? all : all.filter((caller) => !isLate(caller));
    this.#refuseLate(late);
    if (callers.length > 0) {
      await flush(callers);
      this.#metrics.submit((this.#clock.nowMs() - startedMs) / 1000, callers.reduce((sum, { jobs }) => sum + jobs, 0));
    }
    for (const caller of all) {
      this.#admission.leave(caller);
      this.#ceilings.answered(caller.rows);
    }
  }

  #refuseLate(callers: Caller[]): void {
    if (callers.length > 0) {
      const error = new SkipleaseError('RESOURCE_EXHAUSTED', 'SUBMIT_WAITED_TOO_LONG',
        `The submit waited for its turn for more than ${SUBMIT_WAITING_MS_MAX / 1_000} seconds, and nothing of it was created: the database is slow, `
          + 'or too much is submitted. Send it again later.', { retryAfterMs: RETRY_AFTER_MS });
      this.#countRefused(error, callers.length);
      callers.forEach((caller) => caller.reject(error));
    }
  }

  #countRefused(error: unknown, submits: number): void {
    if (error instanceof SkipleaseError && error.code === 'RESOURCE_EXHAUSTED') {
      this.#metrics.refusedSubmits(error.reason, submits);
    }
  }
}

/** In jobs: large ones take the room of several. */
function plainWeight({ jobs, bytes }: Caller): number {
  return Math.max(jobs, Math.ceil(bytes / BYTES_AS_ONE_JOB));
}

/** In jobs: one that waits for many takes as long as several. */
function specialWeight(caller: Caller): number {
  const awaited = caller.rows.reduce((sum, { job }) => sum + (job.options?.after?.length ?? 0), 0);
  return plainWeight(caller) + Math.ceil(awaited / AWAITED_AS_ONE_JOB);
}
