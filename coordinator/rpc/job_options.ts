import { AfterPolicy, UniqueConflict, UniqueScope } from '../../proto/gen/skiplease/v1/job.ts';
import type { JobSpec, UniqueKey as UniqueKeyMessage } from '../../proto/gen/skiplease/v1/job.ts';
import type { FieldViolation } from '../errors.ts';
import type { JobOptions, UniqueKey } from '../types.ts';
import { parseUuid } from './ids.ts';
import { checkRetryPolicy } from './retry_policy.ts';
import { DAY_MS, durationMs, timestampMs, YEAR_MS } from './time.ts';
import type { DurationBounds } from './time.ts';
import type { JobRules } from './job_rules.ts';

const KEY_CHARACTERS_MAX = 256;
const AFTER_JOBS_MAX = 1_000;
const START_WITHIN: DurationBounds = { minMs: 1, maxMs: 10 * YEAR_MS + 3 * DAY_MS, words: '1 ms to 10 years' };
const LIFETIME: DurationBounds = { minMs: 1_000, maxMs: 30 * DAY_MS, words: '1 s to 30 days' };

/** What a job asks for beyond the usual; null, at the cost of a look, for a job that asks for nothing of it. */
export function jobOptions(
  spec: JobSpec, rules: JobRules, fieldAt: (index: number) => string, index: number, violations: FieldViolation[],
): JobOptions | null {
  if (spec.deadline === undefined && spec.retryPolicy === undefined && spec.unique === undefined && spec.serialKey === ''
    && spec.limitKey === '' && spec.batchId === '' && spec.afterJobIds.length === 0) {
    return null;
  }
  const field = fieldAt(index);
  const options: JobOptions = {};
  if (spec.deadline !== undefined) {
    options.startByMs = startByMs(spec.deadline, rules.nowMs, field, violations);
  }
  if (spec.retryPolicy !== undefined) {
    const { maxAttempts, ...retry } = checkRetryPolicy(spec.retryPolicy, `${field}.retry_policy`, violations);
    if (maxAttempts !== undefined && spec.maxAttempts !== 0 && maxAttempts !== spec.maxAttempts) {
      violations.push({ field: `${field}.retry_policy.max_attempts`, description: `is ${maxAttempts}, and max_attempts is ${spec.maxAttempts}: give one of them` });
    }
    if (Object.keys(retry).length > 0) {
      options.retry = retry;
    }
  }
  if (spec.unique !== undefined) {
    options.unique = uniqueKey(spec.unique, rules, `${field}.unique`, violations);
  }
  if (spec.serialKey !== '') {
    options.serialKey = checkedKey(spec.serialKey, `${field}.serial_key`, violations);
  }
  if (spec.limitKey !== '') {
    options.limitKey = checkedKey(spec.limitKey, `${field}.limit_key`, violations);
  }
  if (spec.batchId !== '') {
    options.batchId = checkedId(spec.batchId, `${field}.batch_id`, violations);
  }
  if (spec.afterJobIds.length > 0) {
    if (spec.afterJobIds.length > AFTER_JOBS_MAX) {
      violations.push({ field: `${field}.after_job_ids`, description: `names ${spec.afterJobIds.length} jobs: at most ${AFTER_JOBS_MAX} are accepted` });
    }
    options.after = [...new Set(spec.afterJobIds.slice(0, AFTER_JOBS_MAX)
      .map((id, place) => checkedId(id, `${field}.after_job_ids[${place}]`, violations)))];
    options.afterPolicy = spec.afterPolicy === AfterPolicy.RUN_ANYWAY ? 'run_anyway' : 'cancel';
  }
  return Object.keys(options).length === 0 ? null : options;
}

function startByMs(deadline: NonNullable<JobSpec['deadline']>, nowMs: number, field: string, violations: FieldViolation[]): number {
  if (deadline.$case === 'startBy') {
    return timestampMs(deadline.value, `${field}.start_by`, violations) ?? nowMs;
  }
  return nowMs + (durationMs(deadline.value, START_WITHIN, `${field}.start_within`, violations) ?? 0);
}

function uniqueKey(message: UniqueKeyMessage, { retentionDays }: JobRules, field: string, violations: FieldViolation[]): UniqueKey {
  const lifetimeMs = message.lifetime === undefined ? null : durationMs(message.lifetime, LIFETIME, `${field}.lifetime`, violations) ?? null;
  if (lifetimeMs !== null && retentionDays !== undefined && lifetimeMs > retentionDays * DAY_MS) {
    violations.push({ field: `${field}.lifetime`, description: `is longer than final jobs are kept: ${retentionDays} days` });
  }
  return {
    key: checkedKey(message.key, `${field}.key`, violations),
    scope: message.scope === UniqueScope.QUEUE_AND_TYPE ? 'queue_and_type' : 'queue',
    lifetimeMs,
    onConflict: message.onConflict === UniqueConflict.REJECT ? 'reject'
      : message.onConflict === UniqueConflict.REPLACE ? 'replace' : 'return_existing',
  };
}

function checkedKey(key: string, field: string, violations: FieldViolation[]): string {
  if (key === '' || key.length > KEY_CHARACTERS_MAX || key.includes('\0')) {
    violations.push({ field, description: `is ${key.length} characters long: 1 to ${KEY_CHARACTERS_MAX}, none of them null, are accepted` });
  }
  return key;
}

function checkedId(given: string, field: string, violations: FieldViolation[]): string {
  const id = parseUuid(given);
  if (id === undefined) {
    violations.push({ field, description: 'must be a UUID' });
  }
  return id ?? given;
}
