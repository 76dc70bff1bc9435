import type { JobOutcome } from '../../proto/gen/skiplease/v1/worker_service.ts';
import { JobContext } from '../context.ts';
import type { ContextParts } from '../context.ts';
import type { BatchHandler, Handler } from '../handler.ts';
import { Job } from '../job.ts';
import type { HeldJob } from '../lease/held_job.ts';
import { releasedOutcome } from '../lease/outcome_wire.ts';
import type { Validity } from '../lease/validity.ts';
import { runBatch } from './batch.ts';
import { Fifo } from './fifo.ts';
import type { MissingHandlers } from './missing_handlers.ts';
import { isDeliberate, outcomeOfError, outcomeOfResult, outcomeOfTimeout } from './outcome.ts';
import { Timeouts } from './timeouts.ts';
import { Turn } from './turn.ts';

export interface RunnerOptions {
  concurrency: number;
  handlers: ReadonlyMap<string, Handler>;
  batchHandlers: ReadonlyMap<string, BatchHandler>;
  timeoutGraceMs: number;
  validity: Validity;
  missing: MissingHandlers;
  parts: ContextParts;
  /** The job's outcome is set and wants to be reported. */
  onAnswered: (job: HeldJob) => void;
}

/**
 * Runs handlers, a bounded number at once, over the jobs of all leases in the order of their arrival. Each of its
 * lanes is one loop that takes the next job, or batch, when the last is done; a job alone costs no timer and no closure.
 */
export class Runner {
  readonly #options: RunnerOptions;
  readonly #waiting = new Fifo<HeldJob | HeldJob[]>();
  readonly #timeouts: Timeouts;
  readonly #turn = new Turn();
  #lanes = 0;
  #stopped = false;
  #onIdle: (() => void) | undefined;

  constructor(options: RunnerOptions) {
    this.#options = options;
    this.#timeouts = new Timeouts(options.timeoutGraceMs, (job) => this.#giveUp(job));
  }

  /** New jobs of one lease. */
  accept(jobs: readonly HeldJob[]): void {
    if (this.#stopped) {
      for (const job of jobs) this.#answer(job, releasedOutcome(job.wire.id));
      return;
    }
    const { handlers, batchHandlers, missing } = this.#options;
    const batches = new Map<string, HeldJob[]>();
    for (const job of jobs) {
      const type = job.wire.type;
      if (handlers.has(type)) this.#waiting.push(job);
      else if (batchHandlers.has(type)) addTo(batches, type, job);
      else this.#answer(job, releasedOutcome(job.wire.id, missing.delayMs(type, job.lease.queue)));
    }
    for (const batch of batches.values()) this.#waiting.push(batch);
    this.pump();
  }

  /** Starts what may start. Called whenever something may have changed: new jobs, a renewed lease. */
  pump(): void {
    const { concurrency, validity } = this.#options;
    while (this.#lanes < concurrency && this.#waiting.size > 0 && validity.isValid()) {
      this.#lanes += 1;
      void this.#lane();
    }
  }

  /** Starts nothing more, now or later; what has not started is handed back. */
  stop(): void {
    this.#stopped = true;
    for (let next = this.#waiting.shift(); next !== undefined; next = this.#waiting.shift()) {
      for (const job of [next].flat()) this.#answer(job, releasedOutcome(job.wire.id));
    }
  }

  /** Resolves once no handler runs. */
  async idle(): Promise<void> {
    if (this.#lanes === 0) return;
    await new Promise<void>((resolve) => (this.#onIdle = resolve));
  }

  /** Hands back jobs whose handlers have not ended, though they were told to: they run on to no effect. */
  release(jobs: readonly HeldJob[]): void {
    for (const job of jobs) this.#answer(job, releasedOutcome(job.wire.id));
  }

  /** No timer may keep the process alive. */
  close(): void {
    this.#timeouts.stop();
  }

  async #lane(): Promise<void> {
    for (let next = this.#next(); next !== undefined; next = this.#next()) {
      if (Array.isArray(next)) await this.#runBatch(next);
      else await this.#runOne(next);
      const pause = this.#turn.pause();
      if (pause !== undefined) await pause;
    }
    this.#lanes -= 1;
    if (this.#lanes === 0) this.#onIdle?.();
  }

  /** The next that still wants work; undefined when there is none, or nothing may start. */
  #next(): HeldJob | HeldJob[] | undefined {
    while (this.#options.validity.isValid()) {
      const next = this.#waiting.shift();
      if (next === undefined) return undefined;
      if (!Array.isArray(next)) {
        if (next.phase === 'waiting') return next;
        continue;
      }
      const left = next.filter((job) => job.phase === 'waiting');
      if (left.length > 0) return left;
    }
    return undefined;
  }

  async #runOne(held: HeldJob): Promise<void> {
    const handler = this.#options.handlers.get(held.wire.type)!;
    this.#start(held);
    let outcome: JobOutcome;
    try {
      const result = await handler(new Job(held.wire, held.lease.queue, held.lease.codec), new JobContext(held, this.#options.parts));
      outcome = outcomeOfResult(held, result);
    } catch (error) {
      this.#logFailure(held, error);
      outcome = outcomeOfError(held, error);
    }
    this.#timeouts.forget(held);
    this.#answer(held, outcome);
  }

  async #runBatch(batch: HeldJob[]): Promise<void> {
    for (const job of batch) this.#start(job);
    const handler = this.#options.batchHandlers.get(batch[0]!.wire.type)!;
    const outcomes = await runBatch(batch, handler, this.#options.parts);
    for (let index = 0; index < batch.length; index += 1) {
      this.#timeouts.forget(batch[index]!);
      this.#answer(batch[index]!, outcomes[index]!);
    }
  }

  #start(job: HeldJob): void {
    this.#turn.begin();
    job.phase = 'running';
    this.#timeouts.watch(job);
  }

  /** The first answer counts. A job that is gone (cancelled, lost) or was given up before gets none. */
  #answer(job: HeldJob, outcome: JobOutcome): void {
    if (job.phase !== 'running' && job.phase !== 'waiting') return;
    job.phase = 'answered';
    job.outcome = job.ended ?? outcome;
    if (job.ended === undefined && job.followUps !== undefined && outcome.outcome?.$case === 'succeeded') outcome.followUps = job.followUps;
    this.#options.onAnswered(job);
  }

  /** Its handler ignores the signal: the job fails without it. The lane stays taken until the handler ends. */
  #giveUp(job: HeldJob): void {
    const { id, type } = job.wire;
    this.#options.parts.logger.warn(
      { event: 'handler_ignores_timeout', job_id: id, job_type: type },
      'the handler runs on after its timeout; the job is reported failed',
    );
    this.#answer(job, outcomeOfTimeout(job));
  }

  #logFailure(held: HeldJob, error: unknown): void {
    if (held.phase !== 'running' || held.abortReason !== undefined) return;
    const { id, type, attempt } = held.wire;
    const fields = { event: 'job_failed', job_id: id, job_type: type, attempt, error: String(error) };
    if (isDeliberate(error)) this.#options.parts.logger.debug(fields, 'the handler said how its job ended');
    else this.#options.parts.logger.warn(fields, `the handler of ${type} failed: ${String(error)}`);
  }
}

function addTo(batches: Map<string, HeldJob[]>, type: string, job: HeldJob): void {
  const batch = batches.get(type);
  if (batch === undefined) batches.set(type, [job]);
  else batch.push(job);
}
