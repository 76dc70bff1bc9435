/** The longest delay that the protocol knows: 365 days, in milliseconds. */
export const delayMsMax = 365 * 86_400_000;

/** Throws RangeError unless it is a whole delay that the protocol can carry. */
function checkedDelayMs(delayMs: number): number {
  if (!(delayMs >= 0 && delayMs <= delayMsMax)) {
    throw new RangeError(`delayMs must be 0 to ${delayMsMax} (365 days), not ${delayMs}`);
  }
  return delayMs;
}

/** Thrown by a handler: trying again is of no use. The job is FAILED now, whatever attempts are left. */
export class PermanentError extends Error {
  override readonly name = 'PermanentError';
  /** A short class to count and filter by, such as CARD_DECLINED. At most 100 characters are kept. */
  readonly code: string;

  constructor(code: string, message: string, options?: ErrorOptions) {
    super(message, options);
    this.code = code;
  }
}

/** Thrown by a handler: this attempt failed; try again after this delay instead of the queue's backoff. */
export class RetryAfterError extends Error {
  override readonly name = 'RetryAfterError';
  /** Milliseconds, 0 to 365 days. */
  readonly delayMs: number;
  readonly code: string;

  constructor(delayMs: number, code = 'RETRY_AFTER', message = `try again after ${delayMs} ms`, options?: ErrorOptions) {
    super(message, options);
    this.delayMs = checkedDelayMs(delayMs);
    this.code = code;
  }
}

/** Thrown by a handler: "not yet". The job comes back after the delay; no attempt is spent. */
export class SnoozeError extends Error {
  override readonly name = 'SnoozeError';
  /** Milliseconds, 0 to 365 days. */
  readonly delayMs: number;

  constructor(delayMs: number, message = `not before ${delayMs} ms have passed`) {
    super(message);
    this.delayMs = checkedDelayMs(delayMs);
  }
}

/** Thrown by a handler that did nothing: the job is handed back for any worker to take; no attempt is spent. */
export class ReleaseError extends Error {
  override readonly name = 'ReleaseError';
  /** Milliseconds until it is READY again, 0 to 365 days. */
  readonly delayMs: number;

  constructor(delayMs = 0, message = 'handed back unstarted') {
    super(message);
    this.delayMs = checkedDelayMs(delayMs);
  }
}
