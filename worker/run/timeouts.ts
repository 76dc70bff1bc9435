import { JobTimeoutError } from '../abort_reasons.ts';
import { monotonicMs } from '../clock.ts';
import type { HeldJob } from '../lease/held_job.ts';
import { msFromDuration } from '../wire/duration.ts';

/** Node's timers hold no more than this, in milliseconds; a longer timeout is looked at again then. */
const timerMsMax = 2 ** 31 - 1;

/**
 * The timeouts of all running jobs, on one timer. When a job's time is up its signal fires; if its handler has not
 * ended a grace later, the job is given up, whatever the handler does.
 */
export class Timeouts {
  readonly #graceMs: number;
  readonly #onGivenUp: (job: HeldJob) => void;
  /** When each job is due, on the monotonic clock: its timeout, then the end of its grace. */
  readonly #due = new Map<HeldJob, number>();
  #timer: NodeJS.Timeout | undefined;
  #timerDueMs = Infinity;

  constructor(graceMs: number, onGivenUp: (job: HeldJob) => void) {
    this.#graceMs = graceMs;
    this.#onGivenUp = onGivenUp;
  }

  /** The job's handler starts now. Costs nothing for a job without a timeout. */
  watch(job: HeldJob): void {
    const timeoutMs = msFromDuration(job.wire.timeout);
    if (timeoutMs === undefined) return;
    const dueMs = monotonicMs() + timeoutMs;
    this.#due.set(job, dueMs);
    this.#arm(dueMs);
  }

  /** Its handler has ended. */
  forget(job: HeldJob): void {
    if (this.#due.delete(job) && this.#due.size === 0) this.stop();
  }

  stop(): void {
    clearTimeout(this.#timer);
    this.#timerDueMs = Infinity;
  }

  #arm(dueMs: number): void {
    if (dueMs >= this.#timerDueMs) return;
    clearTimeout(this.#timer);
    this.#timerDueMs = dueMs;
    this.#timer = setTimeout(() => this.#look(), Math.min(Math.max(dueMs - monotonicMs(), 0) + 1, timerMsMax));
  }

  #look(): void {
    this.#timerDueMs = Infinity;
    const nowMs = monotonicMs();
    let nextMs = Infinity;
    for (const [job, dueMs] of this.#due) {
      const laterMs = dueMs > nowMs ? dueMs : this.#timeIsUp(job, nowMs);
      if (laterMs === undefined) this.#due.delete(job);
      else nextMs = Math.min(nextMs, laterMs);
    }
    if (nextMs < Infinity) this.#arm(nextMs);
  }

  /** When to look at the job again; undefined: never. */
  #timeIsUp(job: HeldJob, nowMs: number): number | undefined {
    if (job.phase !== 'running') return undefined;
    if (job.abortReason !== undefined) {
      if (job.abortReason instanceof JobTimeoutError) this.#onGivenUp(job);
      return undefined;
    }
    const timeoutMs = msFromDuration(job.wire.timeout);
    job.abort(new JobTimeoutError(`the attempt took longer than its timeout of ${timeoutMs} ms`));
    const dueMs = nowMs + this.#graceMs;
    this.#due.set(job, dueMs);
    return dueMs;
  }
}
