import type { JobSpec } from '../../proto/gen/skiplease/v1/job.ts';
import type { JobOutcome, LeasedJob } from '../../proto/gen/skiplease/v1/worker_service.ts';
import type { AbortReason } from '../abort_reasons.ts';
import type { HeldLease } from './held_leases.ts';
import type { PendingProgress } from './progress_outbox.ts';

/**
 * Where a job is in this worker:
 *
 *   waiting -> running -> answered -> gone
 *      |          |                    ^
 *      +----------+--------------------+   cancelled, or its lease was lost
 *
 * (A waiting job that is handed back goes straight to answered.)
 */
export type HeldJobPhase = 'waiting' | 'running' | 'answered' | 'gone';

/** One job that this worker holds. */
export class HeldJob {
  readonly lease: HeldLease;
  readonly wire: LeasedJob;
  phase: HeldJobPhase = 'waiting';
  /** From `answered` on: what is reported until its receipt comes. */
  outcome: JobOutcome | undefined;
  /** Set once a transaction of the handler's own has ended it: this is reported, whatever the handler says after. */
  ended: JobOutcome | undefined;
  /** Its report was refused as INVALID once; a second time it is given up. */
  refused = false;
  /** Jobs that its handler wants to be submitted with its success. */
  followUps: JobSpec[] | undefined;
  /** Why its handler was told to stop. */
  abortReason: AbortReason | undefined;
  /** What the handler said of its progress, from its first word on. */
  progress: PendingProgress | undefined;
  #abort: AbortController | undefined;

  constructor(lease: HeldLease, wire: LeasedJob) {
    this.lease = lease;
    this.wire = wire;
  }

  /** Made when a handler first asks: most never do. */
  get signal(): AbortSignal {
    if (this.#abort === undefined) {
      this.#abort = new AbortController();
      if (this.abortReason !== undefined) this.#abort.abort(this.abortReason);
    }
    return this.#abort.signal;
  }

  /** Tells the handler to stop; the first reason stays. */
  abort(reason: AbortReason): void {
    if (this.abortReason !== undefined) return;
    this.abortReason = reason;
    this.#abort?.abort(reason);
    this.onAbort?.(reason);
  }

  /** Called at the abort: a batch looks whether anything of it is left. */
  onAbort: ((reason: AbortReason) => void) | undefined;
}
