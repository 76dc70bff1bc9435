import type { RetryPolicy as WirePolicy } from '../../proto/gen/skiplease/v1/job.ts';
import { durationFromMs, msFromDuration } from './duration.ts';

/** When an attempt that failed is tried again. What is left out stays as it is, or is as the one above has it. */
export interface RetryPolicy {
  /** 1 to 1,000. */
  maxAttempts?: number;
  /** 1 ms to 1 day. */
  initialBackoffMs?: number;
  /** 1 to 100: each wait is so many times as long as the one before. */
  factor?: number;
  /** 1 ms to 30 days. */
  maxBackoffMs?: number;
  /** 0 to 1, as a share of the wait. */
  jitter?: number;
}

export function wireRetryPolicy({ maxAttempts, initialBackoffMs, factor, maxBackoffMs, jitter }: RetryPolicy): WirePolicy {
  return {
    maxAttempts,
    initialBackoff: initialBackoffMs === undefined ? undefined : durationFromMs(initialBackoffMs),
    factor,
    maxBackoff: maxBackoffMs === undefined ? undefined : durationFromMs(maxBackoffMs),
    jitter,
  };
}

export function retryPolicyFrom({ maxAttempts, initialBackoff, factor, maxBackoff, jitter }: WirePolicy): RetryPolicy {
  return {
    ...(maxAttempts === undefined ? {} : { maxAttempts }),
    ...(initialBackoff === undefined ? {} : { initialBackoffMs: msFromDuration(initialBackoff) }),
    ...(factor === undefined ? {} : { factor }),
    ...(maxBackoff === undefined ? {} : { maxBackoffMs: msFromDuration(maxBackoff) }),
    ...(jitter === undefined ? {} : { jitter }),
  };
}
