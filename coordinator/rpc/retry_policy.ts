import type { RetryPolicy } from '../../proto/gen/skiplease/v1/job.ts';
import type { FieldViolation } from '../errors.ts';
import type { RetryPolicy as Policy } from '../types.ts';
import { DAY_MS, durationMs } from './time.ts';
import type { DurationBounds } from './time.ts';

const ATTEMPTS_MAX = 1_000;
const FACTOR_MAX = 100;
const INITIAL_BACKOFF: DurationBounds = { minMs: 1, maxMs: DAY_MS, words: '1 ms to 1 day' };
const MAX_BACKOFF: DurationBounds = { minMs: 1, maxMs: 30 * DAY_MS, words: '1 ms to 30 days' };

/** What a retry policy at `field` says, a queue's or a job's own; what is wrong goes to the violations. */
export function checkRetryPolicy(given: RetryPolicy, field: string, violations: FieldViolation[]): Partial<Policy> {
  const policy: Partial<Policy> = {};
  const within = (value: number, min: number, max: number, name: string) => {
    if (!(value >= min && value <= max)) {
      violations.push({ field: `${field}.${name}`, description: `is ${value}: ${min} to ${max} are accepted` });
    }
    return value;
  };
  if (given.maxAttempts !== undefined) {
    policy.maxAttempts = within(given.maxAttempts, 1, ATTEMPTS_MAX, 'max_attempts');
  }
  if (given.factor !== undefined) {
    policy.factor = within(given.factor, 1, FACTOR_MAX, 'factor');
  }
  if (given.jitter !== undefined) {
    policy.jitter = within(given.jitter, 0, 1, 'jitter');
  }
  if (given.initialBackoff !== undefined) {
    policy.initialMs = durationMs(given.initialBackoff, INITIAL_BACKOFF, `${field}.initial_backoff`, violations) ?? 0;
  }
  if (given.maxBackoff !== undefined) {
    policy.maxMs = durationMs(given.maxBackoff, MAX_BACKOFF, `${field}.max_backoff`, violations) ?? 0;
  }
  return policy;
}
