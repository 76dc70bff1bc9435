/** Why `context.signal` fired: `signal.reason` is always one of the subclasses. */
export abstract class AbortReason extends Error {
  /** Stable, to switch on. */
  abstract readonly code: 'CANCELLED' | 'LEASE_LOST' | 'TIMEOUT' | 'STOPPING';
}

/** Somebody cancelled the job. Whatever the handler still does counts for nothing. */
export class JobCancelledError extends AbortReason {
  override readonly name = 'JobCancelledError';
  readonly code = 'CANCELLED';
}

/** The lease is gone: another worker may hold the job by now, and a report of it would change nothing. */
export class LeaseLostError extends AbortReason {
  override readonly name = 'LeaseLostError';
  readonly code = 'LEASE_LOST';
}

/** The attempt took longer than the job's timeout. It is reported failed, with the code TIMEOUT. */
export class JobTimeoutError extends AbortReason {
  override readonly name = 'JobTimeoutError';
  readonly code = 'TIMEOUT';
}

/** The worker stops and its drain deadline has passed. The job is handed back with no attempt spent. */
export class WorkerStoppingError extends AbortReason {
  override readonly name = 'WorkerStoppingError';
  readonly code = 'STOPPING';
}
