import { AfterPolicy } from '../proto/gen/skiplease/v1/job.ts';
import type { JobSpec } from '../proto/gen/skiplease/v1/job.ts';
import type { PayloadCodec } from './codec/codec.ts';
import { newJobId } from './job_id.ts';
import { durationFromMs } from './wire/duration.ts';
import { payloadFrom } from './wire/payload.ts';
import { wireRetryPolicy, type RetryPolicy } from './wire/retry_policy.ts';
import { wireUniqueKey, type UniqueKey } from './wire/unique_key.ts';

/** A job to submit. Only queue and type are needed. */
export interface NewJob {
  /** UUIDv7; made here when left out. Submitting the same id again creates nothing twice. */
  id?: string;
  queue: string;
  /** Which handler runs it. */
  type: string;
  /** A Uint8Array goes as it is, anything else as JSON. At most 1 MiB unless the coordinator is set otherwise. */
  payload?: unknown;
  /** Of a payload given as bytes. Default application/octet-stream. */
  contentType?: string;
  /** 0 (default) to 9; within a queue a higher one always goes first. */
  priority?: number;
  /** Not before this time. Give this or `delayMs`. */
  runAt?: Date;
  /** Not before this many milliseconds have passed since the coordinator received it. */
  delayMs?: number;
  /** 1 to 1000; default: the queue's. */
  maxAttempts?: number;
  /** How long one attempt may take, in milliseconds. Default: no limit. */
  timeoutMs?: number;
  /** Cancelled, with the code EXPIRED, when no worker has started it by then. Give this or `startWithinMs`. */
  startBy?: Date;
  /** The same, counted in milliseconds from the coordinator's receipt. */
  startWithinMs?: number;
  /** Small strings that travel with the job. */
  headers?: Record<string, string>;
  /** Instead of the queue's; what is left out is taken from the queue's. */
  retryPolicy?: RetryPolicy;
  /** At most one job for each key. */
  unique?: UniqueKey;
  /** Jobs of one queue with the same key run one at a time, in the order of their submission. */
  serialKey?: string;
  /** Jobs of one queue with the same key share the limit that the queue sets for each key. */
  limitKey?: string;
  /** The open batch (BatchClient) that it belongs to. */
  batchId?: string;
  /** It waits until all of these are final: at most 1,000, submitted before or in the same message. */
  afterJobIds?: readonly string[];
  /** When one of those does not succeed. CANCEL (default): it is cancelled too, with the code AFTER_JOB_FAILED. */
  afterPolicy?: 'CANCEL' | 'RUN_ANYWAY';
}

/** Throws TypeError for a payload that JSON cannot hold. Everything else is the coordinator's to judge. */
export function specFrom(job: NewJob, codec?: PayloadCodec): JobSpec {
  return {
    id: job.id ?? newJobId(),
    queue: job.queue,
    type: job.type,
    payload: payloadFrom(job.payload, job.contentType, codec),
    priority: job.priority ?? 0,
    start: startOf(job),
    maxAttempts: job.maxAttempts ?? 0,
    timeout: job.timeoutMs === undefined ? undefined : durationFromMs(job.timeoutMs),
    headers: job.headers ?? {},
    deadline: deadlineOf(job),
    retryPolicy: job.retryPolicy && wireRetryPolicy(job.retryPolicy),
    unique: job.unique && wireUniqueKey(job.unique),
    serialKey: job.serialKey ?? '',
    limitKey: job.limitKey ?? '',
    batchId: job.batchId ?? '',
    afterJobIds: [...(job.afterJobIds ?? [])],
    afterPolicy: AfterPolicy[job.afterPolicy ?? 'UNSPECIFIED'],
  };
}

function startOf({ runAt, delayMs }: NewJob): JobSpec['start'] {
  if (runAt !== undefined && delayMs !== undefined) throw new TypeError('give runAt or delayMs, not both');
  if (runAt !== undefined) return { $case: 'runAt', value: runAt };
  if (delayMs !== undefined) return { $case: 'delay', value: durationFromMs(delayMs) };
  return undefined;
}

function deadlineOf({ startBy, startWithinMs }: NewJob): JobSpec['deadline'] {
  if (startBy !== undefined && startWithinMs !== undefined) throw new TypeError('give startBy or startWithinMs, not both');
  if (startBy !== undefined) return { $case: 'startBy', value: startBy };
  if (startWithinMs !== undefined) return { $case: 'startWithin', value: durationFromMs(startWithinMs) };
  return undefined;
}

/** At least as many bytes as the job has on the wire. */
export function specBytes(spec: JobSpec): number {
  const payload = spec.payload?.content?.$case === 'data' ? spec.payload.content.value.length : 0;
  let headers = 0;
  for (const [key, value] of Object.entries(spec.headers)) headers += 3 * (key.length + value.length) + 16;
  const policy = spec.retryPolicy === undefined ? 0 : 64;
  const keys = 3 * (spec.serialKey.length + spec.limitKey.length + (spec.unique?.key.length ?? 0));
  return payload + headers + policy + keys + 3 * (spec.queue.length + spec.type.length + (spec.payload?.contentType.length ?? 0)) + spec.batchId.length
    + 40 * spec.afterJobIds.length + 160;
}
