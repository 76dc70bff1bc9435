import type { Clock } from '../clock.ts';
import { SkipleaseError } from '../errors.ts';
import type { Metrics } from '../observe/metrics.ts';
import type { Level } from '../store/levels.ts';
import type { Store } from '../store/store.ts';
import type { SubmitEffects, SubmitRow } from '../store/submit.ts';
import type { ClientLimits } from './admission.ts';
import type { SubmitAnswer } from './engine.ts';
import type { HandOff, HandOffPlan } from './hand_off.ts';
import type { QueueCache } from './queue_cache.ts';
import { SubmitLines, type Caller } from './submit_lines.ts';
import type { NewJob } from '../types.ts';

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
  readonly #handOff: HandOff;
  readonly #metrics: Metrics;
  readonly #submitted: (submitted: Submitted) => void;
  readonly #specialSubmitted: () => void;
  readonly #replaced: (effects: SubmitEffects) => void;
  readonly #lines: SubmitLines;

  constructor(deps: {
    store: Store; queues: QueueCache; handOff: HandOff; metrics: Metrics; clock: Clock; clientLimits: ClientLimits; submitted: (submitted: Submitted) => void;
    /** Jobs with options were committed: some may wait for a gate. */
    specialSubmitted: () => void;
    /** Waiting jobs were cancelled for new ones. */
    replaced: (effects: SubmitEffects) => void;
  }) {
    this.#store = deps.store;
    this.#handOff = deps.handOff;
    this.#metrics = deps.metrics;
    this.#submitted = deps.submitted;
    this.#specialSubmitted = deps.specialSubmitted;
    this.#replaced = deps.replaced;
    this.#lines = new SubmitLines({ ...deps, flush: (callers) => this.#flush(callers), flushSpecial: (callers) => this.#flushSpecial(callers) });
  }

  /** Its part of the next flush is not full yet. */
  wantsMore(client: string): boolean {
    return this.#lines.wantsMore(client);
  }

  /** Why a submit of this client is turned away now; undefined: it is not. */
  refusal(client: string): SkipleaseError | undefined {
    return this.#lines.refusal(client);
  }

  submit(jobs: NewJob[], client: string): Promise<SubmitAnswer> {
    return this.#lines.submit(jobs, client);
  }

  /** Resolves when every submit so far is answered. */
  idle(): Promise<void> {
    return this.#lines.idle();
  }

  async #flushSpecial(callers: Caller[]): Promise<void> {
    const { counted, others } = Object.groupBy(callers, ({ rows }) => (rows.every(({ job }) => this.#store.isOnlyCounted(job)) ? 'counted' : 'others'));
    if (counted !== undefined) {
      await this.#commitEach(counted, (byCaller) => this.#store.submitBatched(byCaller));
    }
    if (others !== undefined) {
      await this.#commitEach(others, (byCaller) => this.#store.submitSpecial(byCaller));
      this.#specialSubmitted();
    }
  }

  async #flush(callers: Caller[]): Promise<void> {
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

function refused(error: Error): SkipleaseError {
  if (error instanceof SkipleaseError) {
    return error;
  }
  return new SkipleaseError('INVALID_ARGUMENT', 'REFUSED_BY_DATABASE', `The database refused the submit: ${error.message}`);
}
