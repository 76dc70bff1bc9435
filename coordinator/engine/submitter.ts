import type { Clock } from '../clock.ts';
import { SkipleaseError } from '../errors.ts';
import { SUBMIT_WAITING_BYTES_MAX, SUBMIT_WAITING_JOBS_MAX } from '../limits.ts';
import type { Metrics } from '../observe/metrics.ts';
import type { Level } from '../store/levels.ts';
import type { Store } from '../store/store.ts';
import type { SubmitEffects, SubmitRow } from '../store/submit.ts';
import { Batcher } from './batcher.ts';
import type { SubmitAnswer } from './engine.ts';
import type { HandOff, HandOffPlan } from './hand_off.ts';
import type { QueueCache } from './queue_cache.ts';
import type { NewJob } from '../types.ts';

/** Jobs that one flush commits together. */
const FLUSH_JOBS_MAX = 5_000;
/** Likewise of those with options: more work for each, and rows of others that they lock. */
const FLUSH_SPECIAL_JOBS_MAX = 1_000;
/** So many jobs that are waited for are as much work as a job. */
const AWAITED_AS_ONE_JOB = 5;
/** What a client that was turned away waits before it tries again: milliseconds. */
const RETRY_AFTER_MS = 250;

interface Caller {
  rows: SubmitRow[];
  bytes: number;
  resolve(answer: SubmitAnswer): void;
  reject(error: unknown): void;
}

/** What a commit left behind for those who wait for work. */
export interface Submitted {
  ready: Level[];
  /** Moment of the database's clock when the earliest scheduled one is due; undefined: none was scheduled. */
  runAtMs: number | undefined;
  /** When the earliest must have started; undefined: none must. */
  startByMs: number | undefined;
  /** Jobs that some of them wait for. */
  awaited: string[];
}

/** Commits submits that arrive together in one statement, straight into the leases of workers that wait where it can. */
export class Submitter {
  readonly #store: Store;
  readonly #queues: QueueCache;
  readonly #handOff: HandOff;
  readonly #metrics: Metrics;
  readonly #clock: Clock;
  readonly #submitted: (submitted: Submitted) => void;
  readonly #specialSubmitted: () => void;
  readonly #replaced: (effects: SubmitEffects) => void;
  readonly #batcher: Batcher<Caller>;
  /** Callers of whose jobs some have options. */
  readonly #special: Batcher<Caller>;
  #waitingBytes = 0;
  /** Submits that wait for their queues to be looked up, and the last of them. */
  #lookups = 0;
  #lastLookup: Promise<unknown> = Promise.resolve();

  constructor(deps: {
    store: Store; queues: QueueCache; handOff: HandOff; metrics: Metrics; clock: Clock; submitted: (submitted: Submitted) => void;
    /** Jobs with options were committed: some may wait for a gate. */
    specialSubmitted: () => void;
    /** Waiting jobs were cancelled for new ones. */
    replaced: (effects: SubmitEffects) => void;
  }) {
    this.#store = deps.store;
    this.#queues = deps.queues;
    this.#handOff = deps.handOff;
    this.#metrics = deps.metrics;
    this.#clock = deps.clock;
    this.#submitted = deps.submitted;
    this.#specialSubmitted = deps.specialSubmitted;
    this.#replaced = deps.replaced;
    this.#batcher = new Batcher((callers) => this.#flush(callers), FLUSH_JOBS_MAX, (caller) => caller.rows.length);
    this.#special = new Batcher((callers) => this.#flushSpecial(callers), FLUSH_SPECIAL_JOBS_MAX, specialWeight);
  }

  /** The next flush is not full yet. */
  get wantsMore(): boolean {
    return this.#batcher.waitingWeight < FLUSH_JOBS_MAX && this.#special.waitingWeight < FLUSH_JOBS_MAX;
  }

  async submit(jobs: NewJob[]): Promise<SubmitAnswer> {
    const bytes = jobs.reduce((sum, job) => sum + job.payload.length, 0);
    if (this.#batcher.waitingWeight + this.#special.waitingWeight > SUBMIT_WAITING_JOBS_MAX || this.#waitingBytes > SUBMIT_WAITING_BYTES_MAX) {
      throw new SkipleaseError('RESOURCE_EXHAUSTED', 'TOO_MANY_SUBMITS_WAITING',
        'More submits wait for their commit than this coordinator holds. Send it again a little later.', { retryAfterMs: RETRY_AFTER_MS });
    }
    this.#waitingBytes += bytes;
    const known = this.#lookups === 0 ? this.#queues.knownRows(jobs) : undefined;
    return new Promise((resolve, reject) => {
      const special = jobs.some(({ options }) => options !== null);
      const add = (rows: SubmitRow[]) => (special ? this.#addSpecial({ rows, bytes, resolve, reject }) : this.#batcher.add({ rows, bytes, resolve, reject }));
      if (known !== undefined) {
        add(known);
      } else {
        this.#lookUp(jobs, add).catch((error: Error) => {
          this.#waitingBytes -= bytes;
          reject(error);
        });
      }
    });
  }

  /** In the order of the calls: who must look up a queue holds up those who come after, or a stream's chunks would overtake each other. */
  async #lookUp(jobs: NewJob[], add: (rows: SubmitRow[]) => void): Promise<void> {
    this.#lookups += 1;
    const rows = this.#lastLookup.then(() => this.#queues.rows(jobs));
    this.#lastLookup = rows.catch(() => {});
    try {
      add(await rows);
    } finally {
      this.#lookups -= 1;
    }
  }

  /** After the plain ones that came before: jobs may wait for those. */
  #addSpecial(caller: Caller): void {
    void this.#batcher.idle().then(() => this.#special.add(caller));
  }

  /** Resolves when every submit so far is answered. */
  async idle(): Promise<void> {
    await this.#batcher.idle();
    await this.#special.idle();
  }

  async #flushSpecial(callers: Caller[]): Promise<void> {
    const started = this.#clock.nowMs();
    const { counted, others } = Object.groupBy(callers, ({ rows }) => (rows.every(({ job }) => this.#store.isOnlyCounted(job)) ? 'counted' : 'others'));
    if (counted !== undefined) {
      await this.#commitEach(counted, (byCaller) => this.#store.submitBatched(byCaller));
    }
    if (others !== undefined) {
      await this.#commitEach(others, (byCaller) => this.#store.submitSpecial(byCaller));
      this.#specialSubmitted();
    }
    callers.forEach((caller) => {
      this.#waitingBytes -= caller.bytes;
    });
    this.#metrics.submit((this.#clock.nowMs() - started) / 1000, callers.reduce((sum, { rows }) => sum + rows.length, 0));
  }

  async #flush(callers: Caller[]): Promise<void> {
    const started = this.#clock.nowMs();
    const rows = callers.length === 1 ? callers[0]!.rows : callers.flatMap((caller) => caller.rows);
    const plan = this.#handOff.plan(rows);
    try {
      if (plan !== undefined) {
        await this.#commitHandOff(callers, plan);
      } else {
        await this.#commit(callers, rows);
      }
    } catch (error) {
      if (plan !== undefined) {
        this.#handOff.failed(plan, this.#store.isAmbiguous(error));
      }
      if (this.#store.isTransient(error) && !this.#store.isLocked(error)) {
        this.#refuse(callers, error);
      } else {
        await this.#commitEach(callers, (byCaller) => this.#store.submitEach(byCaller));
      }
    } finally {
      callers.forEach((caller) => {
        this.#waitingBytes -= caller.bytes;
      });
      this.#metrics.submit((this.#clock.nowMs() - started) / 1000, rows.length);
    }
  }

  async #commitHandOff(callers: Caller[], plan: HandOffPlan): Promise<void> {
    const { waiting, positionMin, before } = await this.#handOff.commit(plan);
    this.#wake(waiting, positionMin, before);
    this.#count(plan.rows);
    callers.forEach((caller) => caller.resolve({ existingIds: [] }));
    // The answers are on their way before the leases: a worker may well be faster than its submitter.
    this.#handOff.deliver(plan);
  }

  async #commit(callers: Caller[], rows: SubmitRow[]): Promise<void> {
    const { positionMin, existingIds } = await this.#store.submit(rows);
    this.#wake(rows, positionMin);
    const existing = new Set(existingIds);
    this.#count(existing.size === 0 ? rows : rows.filter(({ job }) => !existing.has(job.id)));
    for (const caller of callers) {
      caller.resolve({ existingIds: existing.size === 0 ? [] : caller.rows.map(({ job }) => job.id).filter((id) => existing.has(id)) });
    }
  }

  /** Something conflicted or was refused: each caller by itself, so that the others are answered as if nothing had been. */
  async #commitEach(callers: Caller[], submitEach: Store['submitEach']): Promise<void> {
    try {
      const results = await submitEach(callers.map((caller) => caller.rows));
      results.forEach((result, index) => {
        const caller = callers[index]!;
        if ('error' in result) {
          caller.reject(this.#store.isTransient(result.error) ? result.error : this.#store.refusal(result.error) ?? refused(result.error));
        } else if (result.takenIds.length > 0) {
          caller.reject(new SkipleaseError('ALREADY_EXISTS', 'JOB_ID_TAKEN',
            `Job ${result.takenIds[0]} exists with another queue or type; nothing of this submit was created.`,
            { metadata: { job_ids: result.takenIds.slice(0, 10).join(',') } }));
        } else {
          const { existingIds, positionMin, effects } = result;
          const existing = new Set(existingIds);
          this.#wake(caller.rows, positionMin);
          this.#count(caller.rows.filter(({ job }) => !existing.has(job.id) && effects?.standIns.has(job.id) !== true));
          if (effects === undefined) {
            caller.resolve({ existingIds });
          } else {
            this.#tellReplaced(caller.rows, effects);
            caller.resolve(effects.standIns.size === 0 ? { existingIds } : { existingIds, standIns: effects.standIns });
          }
        }
      });
    } catch (error) {
      this.#refuse(callers, error);
    }
  }

  #tellReplaced(rows: SubmitRow[], effects: SubmitEffects): void {
    // A key belongs to one queue: the job that was cancelled is of the new one's.
    rows.filter(({ job }) => effects.replaced.has(job.id)).forEach(({ job }) => this.#metrics.completedJobs(job.queue, 'cancelled', 1));
    this.#replaced(effects);
  }

  #refuse(callers: Caller[], error: unknown): void {
    this.#metrics.error('SUBMIT_FAILED');
    callers.forEach((caller) => caller.reject(error));
  }

  #wake(rows: SubmitRow[], positionMin: bigint | null, before: Level[] = []): void {
    const submitted: Submitted = { ready: [...before], runAtMs: undefined, startByMs: undefined, awaited: [] };
    const seen = new Set<number>();
    // Neighbours mostly share queue and priority.
    let last = -1;
    for (const { job, queueId } of rows) {
      const level = queueId * 10 + job.priority;
      if (job.options?.startByMs !== undefined) {
        submitted.startByMs = Math.min(submitted.startByMs ?? Infinity, job.options.startByMs);
      }
      if (job.options?.after !== undefined) {
        submitted.awaited.push(...job.options.after);
      }
      if (job.runAtMs !== null) {
        submitted.runAtMs = Math.min(submitted.runAtMs ?? Infinity, job.runAtMs);
      } else if (positionMin !== null && level !== last && !seen.has(level)) {
        seen.add(level);
        submitted.ready.push({ queueId, priority: job.priority, positionMin });
        last = level;
      }
    }
    if (submitted.ready.length > 0 || submitted.runAtMs !== undefined || submitted.startByMs !== undefined || submitted.awaited.length > 0) {
      this.#submitted(submitted);
    }
  }

  #count(rows: SubmitRow[]): void {
    let first = 0;
    for (let next = 1; next <= rows.length; next += 1) {
      if (rows[next]?.queueId !== rows[first]!.queueId) {
        this.#metrics.submittedJobs(rows[first]!.job.queue, next - first);
        first = next;
      }
    }
  }
}

/** In jobs: one that waits for many takes as long as several. */
function specialWeight({ rows }: Caller): number {
  const awaited = rows.reduce((sum, { job }) => sum + (job.options?.after?.length ?? 0), 0);
  return rows.length + Math.ceil(awaited / AWAITED_AS_ONE_JOB);
}

function refused(error: Error): SkipleaseError {
  if (error instanceof SkipleaseError) {
    return error;
  }
  return new SkipleaseError('INVALID_ARGUMENT', 'REFUSED_BY_DATABASE', `The database refused the submit: ${error.message}`);
}
