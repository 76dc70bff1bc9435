import type { QueueSettings } from '../../proto/gen/skiplease/v1/queue_service.ts';
import { invalidArgument } from '../errors.ts';
import type { FieldViolation } from '../errors.ts';
import { LEASE_JOBS_MAX } from '../limits.ts';
import type { QueueChange } from '../store/queues.ts';
import { DAY_MS, durationMs } from './time.ts';
import type { DurationBounds } from './time.ts';

const ATTEMPTS_MAX = 1_000;
const FACTOR_MAX = 100;
const INITIAL_BACKOFF: DurationBounds = { minMs: 1, maxMs: DAY_MS, words: '1 ms to 1 day' };
const MAX_BACKOFF: DurationBounds = { minMs: 1, maxMs: 30 * DAY_MS, words: '1 ms to 30 days' };

/** The settings that are present, as a change; INVALID_ARGUMENT with all that is out of bounds. */
export function checkQueueSettings(settings: QueueSettings | undefined): QueueChange {
  if (settings === undefined) {
    throw invalidArgument([{ field: 'settings', description: 'is missing' }]);
  }
  const violations: FieldViolation[] = [];
  const { leaseJobsMax, retryPolicy } = settings;
  const change: QueueChange = {};
  const within = (value: number, min: number, max: number, field: string) => {
    if (!(value >= min && value <= max)) {
      violations.push({ field: `settings.${field}`, description: `is ${value}: ${min} to ${max} are accepted` });
    }
    return value;
  };
  if (leaseJobsMax !== undefined) {
    change.leaseJobsMax = within(leaseJobsMax, 1, LEASE_JOBS_MAX, 'lease_jobs_max');
  }
  if (retryPolicy?.maxAttempts !== undefined) {
    change.maxAttempts = within(retryPolicy.maxAttempts, 1, ATTEMPTS_MAX, 'retry_policy.max_attempts');
  }
  if (retryPolicy?.factor !== undefined) {
    change.backoffFactor = within(retryPolicy.factor, 1, FACTOR_MAX, 'retry_policy.factor');
  }
  if (retryPolicy?.jitter !== undefined) {
    change.backoffJitter = within(retryPolicy.jitter, 0, 1, 'retry_policy.jitter');
  }
  if (retryPolicy?.initialBackoff !== undefined) {
    change.backoffInitialMs = durationMs(retryPolicy.initialBackoff, INITIAL_BACKOFF, 'settings.retry_policy.initial_backoff', violations) ?? 0;
  }
  if (retryPolicy?.maxBackoff !== undefined) {
    change.backoffMaxMs = durationMs(retryPolicy.maxBackoff, MAX_BACKOFF, 'settings.retry_policy.max_backoff', violations) ?? 0;
  }
  if (violations.length > 0) {
    throw invalidArgument(violations);
  }
  return change;
}
