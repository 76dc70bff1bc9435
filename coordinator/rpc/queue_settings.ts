import type { QueueSettings } from '../../proto/gen/skiplease/v1/queue_service.ts';
import { invalidArgument, refuseInvalid } from '../errors.ts';
import type { FieldViolation } from '../errors.ts';
import { LEASE_JOBS_MAX } from '../limits.ts';
import type { QueueChange } from '../store/queues.ts';
import { checkLimit, checkSerialRetry } from './queue_limits.ts';
import { checkRetryPolicy } from './retry_policy.ts';

const WAITING_MAX = 10_000_000;

/** The settings that are present, as a change; INVALID_ARGUMENT with all that is out of bounds. */
export function checkQueueSettings(settings: QueueSettings | undefined): QueueChange {
  if (settings === undefined) {
    throw invalidArgument([{ field: 'settings', description: 'is missing' }]);
  }
  const violations: FieldViolation[] = [];
  const { leaseJobsMax, retryPolicy, limit, keyLimit, serialRetry, waitingMax } = settings;
  if (leaseJobsMax !== undefined && !(leaseJobsMax >= 1 && leaseJobsMax <= LEASE_JOBS_MAX)) {
    violations.push({ field: 'settings.lease_jobs_max', description: `is ${leaseJobsMax}: 1 to ${LEASE_JOBS_MAX} are accepted` });
  }
  if (waitingMax !== undefined && !(waitingMax >= 0 && waitingMax <= WAITING_MAX)) {
    violations.push({ field: 'settings.waiting_max', description: `is ${waitingMax}: 0 (none) to ${WAITING_MAX} are accepted` });
  }
  const retry = retryPolicy === undefined ? {} : checkRetryPolicy(retryPolicy, 'settings.retry_policy', violations);
  const change: QueueChange = {
    limit: limit && checkLimit(limit, 'settings.limit', violations),
    keyLimit: keyLimit && checkLimit(keyLimit, 'settings.key_limit', violations),
    serialRetry: serialRetry === undefined ? undefined : checkSerialRetry(serialRetry, 'settings.serial_retry', violations),
  };
  refuseInvalid(violations);
  return {
    ...change,
    leaseJobsMax,
    waitingMax: waitingMax === undefined ? undefined : waitingMax || null,
    maxAttempts: retry.maxAttempts,
    backoffInitialMs: retry.initialMs,
    backoffFactor: retry.factor,
    backoffMaxMs: retry.maxMs,
    backoffJitter: retry.jitter,
  };
}
