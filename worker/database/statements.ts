/** The calls of Skiplease's SQL functions (coordinator/store/README.md) as text that shares a round trip with others. */
import { AfterPolicy } from '../../proto/gen/skiplease/v1/job.ts';
import type { JobSpec, Payload } from '../../proto/gen/skiplease/v1/job.ts';
import type { JobOutcome } from '../../proto/gen/skiplease/v1/worker_service.ts';
import { msFromDuration } from '../wire/duration.ts';

/** Fails unless the lease is live and, where a job is named, holds it. Keeps it so until the transaction ends. */
export function checkLease(token: string, jobId?: string): string {
  return `select skiplease.check_lease(${text(token)}, ${uuid(jobId)})`;
}

/** Ends the job, and submits what is to follow it. Throws TypeError for what only a report over the stream can say. */
export function endOf(token: string, { jobId, outcome }: JobOutcome, followUps: readonly JobSpec[] = []): string {
  switch (outcome?.$case) {
    case 'succeeded': {
      const [result, type] = contentOf(outcome.value.result);
      const completed = `select skiplease.complete_bytes(${text(token)}, ${uuid(jobId)}, ${result}, ${type})`;
      return [...followUps.map(submitOf), completed].join('; ');
    }
    case 'failed': {
      const { error, permanent, retryDelay } = outcome.value;
      return `select skiplease.fail(${text(token)}, ${uuid(jobId)}, ${text(error?.code)}, ${text(error?.message)}, ${permanent},
        ${interval(msFromDuration(retryDelay))}, ${text(error?.details)})`;
    }
    default:
      throw new TypeError('a job is put off by throwing the error, not by returning it: nothing of its transaction stays');
  }
}

function submitOf(spec: JobSpec): string {
  const { id, queue, type, payload, priority, start, maxAttempts, timeout, headers } = spec;
  const runAt = start?.$case === 'runAt' ? `${text(start.value.toISOString())}::timestamptz`
    : start?.$case === 'delay' ? `now() + ${interval(msFromDuration(start.value))}` : 'null';
  const [bytes, contentType] = contentOf(payload);
  return `select skiplease.submit_bytes(${text(queue)}, ${text(type)}, ${bytes}, ${contentType}, ${uuid(id)}, ${priority}, ${runAt},
    ${maxAttempts || 'null'}, ${interval(msFromDuration(timeout))}, ${text(JSON.stringify(headers))}::jsonb, ${text(optionsOf(spec))}::jsonb)`;
}

/** What few jobs ask for. */
function optionsOf({ serialKey, limitKey, batchId, afterJobIds, afterPolicy, deadline, retryPolicy, unique }: JobSpec): string | undefined {
  if (retryPolicy !== undefined || unique !== undefined) {
    throw new TypeError('a job that follows in a transaction can have no retry policy of its own and no unique key: submit it to a coordinator');
  }
  const options = {
    serial_key: serialKey || undefined,
    limit_key: limitKey || undefined,
    batch_id: batchId || undefined,
    after_job_ids: afterJobIds.length === 0 ? undefined : afterJobIds,
    after_policy: afterPolicy === AfterPolicy.RUN_ANYWAY ? 'RUN_ANYWAY' : undefined,
    start_by: deadline === undefined ? undefined
      : deadline.$case === 'startBy' ? deadline.value : new Date(Date.now() + msFromDuration(deadline.value)),
  };
  const written = JSON.stringify(options);
  return written === '{}' ? undefined : written;
}

/** Bytes and content type, as literals. */
function contentOf(payload: Payload | undefined): [string, string] {
  const bytes = payload?.content?.$case === 'data' ? payload.content.value : undefined;
  if (bytes === undefined) return ['null', 'null'];
  return [hex(bytes), payload!.contentType === '' ? 'null' : text(payload!.contentType)];
}

/** All that is not a number goes as hex digits: there is nothing in them to be escaped. */
function hex(bytes: Uint8Array): string {
  return `decode('${Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('hex')}', 'hex')`;
}

function text(value: string | undefined): string {
  return value === undefined ? 'null' : `convert_from(${hex(Buffer.from(value))}, 'UTF8')`;
}

function uuid(value: string | undefined): string {
  return `${text(value)}::uuid`;
}

function interval(milliseconds: number | undefined): string {
  return milliseconds === undefined ? 'null' : `${milliseconds} * interval '1 millisecond'`;
}
