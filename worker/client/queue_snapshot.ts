import { ConditionKind, SerialRetry } from '../../proto/gen/skiplease/v1/queue_service.ts';
import type { Limit as WireLimit, Queue as WireQueue, QueueSettings as WireSettings } from '../../proto/gen/skiplease/v1/queue_service.ts';
import { durationFromMs, msFromDuration } from '../wire/duration.ts';
import { retryPolicyFrom, wireRetryPolicy } from '../wire/retry_policy.ts';
import type { RetryPolicy } from '../wire/retry_policy.ts';
import { nameOf } from './job_snapshot.ts';

/** How many jobs may run at once (0: any number), and how many may start in a time. */
export interface QueueLimit {
  runningMax?: number;
  /** Each start takes a token; `burst` is how many the bucket holds at most (1). */
  rate?: { starts: number; periodMs: number; burst?: number };
}

/** What can be set of a queue. Of an update: what is left out stays as it is. */
export interface QueueSettings {
  /** How many jobs one lease carries at most. */
  leaseJobsMax?: number;
  retryPolicy?: RetryPolicy;
  /** Of all jobs of the queue together. `{}` lifts it. */
  limit?: QueueLimit;
  /** Of the jobs that share a limit key. `{}` lifts it. */
  keyLimit?: QueueLimit;
  /** What the next job of a serial key does while the one before it backs off. */
  serialRetry?: 'WAIT' | 'GO_AHEAD';
  /** While so many jobs wait, submits to it are refused (RESOURCE_EXHAUSTED), and tried again by the client. 0 lifts it. */
  waitingMax?: number;
}

/** Why a queue does not move, or moves slower than it could. */
export interface QueueCondition {
  kind: Exclude<keyof typeof ConditionKind, 'UNSPECIFIED' | 'UNRECOGNIZED'>;
  /** What was seen and what to do. */
  message: string;
  since: Date | undefined;
}

/** A queue as it stood when the coordinator answered. */
export interface QueueSnapshot {
  name: string;
  paused: boolean;
  settings: QueueSettings;
  /** Counts stop at 50,000: `capped` says that one of them did. */
  depth: {
    ready: number;
    leased: number;
    scheduled: number;
    blocked: number;
    capped: boolean;
    /** undefined: none is ready. */
    oldestReadyAgeMs: number | undefined;
  };
  conditions: QueueCondition[];
}

export function queueFrom({ name, paused, settings, depth, conditions }: WireQueue): QueueSnapshot {
  const { oldestReadyAge, ...counts } = depth!;
  return {
    name,
    paused,
    settings: settingsFrom(settings!),
    depth: { ...counts, oldestReadyAgeMs: msFromDuration(oldestReadyAge) },
    conditions: conditions.map(({ kind, ...same }) => ({ ...same, kind: nameOf(ConditionKind, kind) as QueueCondition['kind'] })),
  };
}

export function wireSettings({ leaseJobsMax, retryPolicy, limit, keyLimit, serialRetry, waitingMax }: QueueSettings): WireSettings {
  return {
    leaseJobsMax,
    retryPolicy: retryPolicy && wireRetryPolicy(retryPolicy),
    limit: limit && wireLimit(limit),
    keyLimit: keyLimit && wireLimit(keyLimit),
    serialRetry: serialRetry && SerialRetry[serialRetry],
    waitingMax,
  };
}

function settingsFrom({ leaseJobsMax, retryPolicy, limit, keyLimit, serialRetry, waitingMax }: WireSettings): QueueSettings {
  return {
    ...(leaseJobsMax === undefined ? {} : { leaseJobsMax }),
    ...(retryPolicy === undefined ? {} : { retryPolicy: retryPolicyFrom(retryPolicy) }),
    ...(limit === undefined ? {} : { limit: limitFrom(limit) }),
    ...(keyLimit === undefined ? {} : { keyLimit: limitFrom(keyLimit) }),
    ...(serialRetry === undefined ? {} : { serialRetry: nameOf(SerialRetry, serialRetry) as NonNullable<QueueSettings['serialRetry']> }),
    ...(waitingMax === undefined ? {} : { waitingMax }),
  };
}

function wireLimit({ runningMax = 0, rate }: QueueLimit): WireLimit {
  return { runningMax, rate: rate && { starts: rate.starts, period: durationFromMs(rate.periodMs), burst: rate.burst ?? 0 } };
}

function limitFrom({ runningMax, rate }: WireLimit): QueueLimit {
  return { runningMax, ...(rate && { rate: { starts: rate.starts, periodMs: msFromDuration(rate.period) ?? 0, burst: rate.burst } }) };
}
