import { AttemptState, BlockedReason, JobState } from '../../proto/gen/skiplease/v1/job.ts';
import type { Attempt, Job as WireJob, JobError } from '../../proto/gen/skiplease/v1/job.ts';
import type { PayloadCodec } from '../codec/codec.ts';
import { msFromDuration } from '../wire/duration.ts';
import { valueFrom } from '../wire/payload.ts';
import { retryPolicyFrom } from '../wire/retry_policy.ts';
import type { RetryPolicy } from '../wire/retry_policy.ts';
import { uniqueKeyFrom } from '../wire/unique_key.ts';
import type { UniqueKey } from '../wire/unique_key.ts';

/** SUCCEEDED, FAILED and CANCELLED are final. */
export type JobStateName = 'SCHEDULED' | 'READY' | 'LEASED' | 'SUCCEEDED' | 'FAILED' | 'CANCELLED' | 'BLOCKED';

/** An attempt that failed, or whose lease ran out. */
export interface AttemptSnapshot {
  number: number;
  state: 'FAILED' | 'EXPIRED';
  error: JobError | undefined;
  workerId: string;
  startTime: Date | undefined;
  endTime: Date | undefined;
}

/** A job as it stood when the coordinator answered. */
export interface JobSnapshot {
  id: string;
  queue: string;
  type: string;
  state: JobStateName;
  /** True in SUCCEEDED, FAILED and CANCELLED: it will not change again. */
  final: boolean;
  /** JSON as a value, anything else as bytes. */
  payload: unknown;
  priority: number;
  /** The attempt that runs now, or ran last; 0 before the first. */
  attempt: number;
  maxAttempts: number;
  createTime: Date | undefined;
  runAt: Date | undefined;
  finishTime: Date | undefined;
  /** What its handler returned: JSON as a value, anything else as bytes. */
  result: unknown;
  /** Why the last failed attempt failed, or why it was cancelled. */
  error: JobError | undefined;
  /** Oldest first. */
  attempts: AttemptSnapshot[];
  workerId: string;
  /** The jobs that it waits for, or waited for. */
  afterJobIds: string[];
  /** While BLOCKED: what it waits for. */
  blockedReason: 'DEPENDENCY' | 'SERIAL_KEY' | 'LIMIT_KEY' | undefined;
  timeoutMs: number | undefined;
  headers: Record<string, string>;
  progress: { percent: number; note: string; updateTime: Date | undefined; hasCheckpoint: boolean } | undefined;
  /** Its own; undefined: its queue's alone. */
  retryPolicy: RetryPolicy | undefined;
  unique: UniqueKey | undefined;
  /** The FAILED job that this one is a retry of. */
  originJobId: string;
  /** The job that a retry made of this one. */
  retriedAsJobId: string;
  /** The schedule that submitted it. */
  schedule: string;
}

const finalStates: ReadonlySet<string> = new Set<JobStateName>(['SUCCEEDED', 'FAILED', 'CANCELLED']);

/** Throws what the codec throws at content that it cannot read. */
export function snapshotFrom(wire: WireJob, codec?: PayloadCodec): JobSnapshot {
  const { timeout, payload, result, state: stateNumber, attempts, blockedReason, retryPolicy, unique, ...same } = wire;
  const state = nameOf(JobState, stateNumber) as JobStateName;
  return {
    ...same,
    state,
    final: finalStates.has(state),
    payload: valueFrom(payload, codec),
    result: valueFrom(result, codec),
    attempts: attempts.map(attemptFrom),
    blockedReason: blockedReason === BlockedReason.UNSPECIFIED ? undefined : nameOf(BlockedReason, blockedReason) as JobSnapshot['blockedReason'],
    timeoutMs: msFromDuration(timeout),
    retryPolicy: retryPolicy && retryPolicyFrom(retryPolicy),
    unique: unique && uniqueKeyFrom(unique),
  };
}

function attemptFrom({ state, ...same }: Attempt): AttemptSnapshot {
  return { ...same, state: nameOf(AttemptState, state) as AttemptSnapshot['state'] };
}

/** The name of an enum's number, as it is on the wire without its prefix. */
export function nameOf(values: Readonly<Record<string, number>>, value: number): string {
  return Object.keys(values).find((name) => values[name] === value) ?? 'UNRECOGNIZED';
}
