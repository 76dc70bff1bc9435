import type { JobOutcome } from '../../proto/gen/skiplease/v1/worker_service.ts';
import { JobTimeoutError, WorkerStoppingError } from '../abort_reasons.ts';
import { PermanentError, ReleaseError, RetryAfterError, SnoozeError } from '../errors.ts';
import type { HeldJob } from '../lease/held_job.ts';
import { failedOutcome, releasedOutcome, snoozedOutcome, succeededOutcome } from '../lease/outcome_wire.ts';

/** What a handler's return value says of its job. */
export function outcomeOfResult(job: HeldJob, result: unknown): JobOutcome {
  try {
    return succeededOutcome(job.wire.id, result, job.lease.codec);
  } catch (error) {
    // The work is done and must not be done again; only what it returned cannot be kept.
    const message = `the result cannot be written as JSON: ${messageOf(error)}`;
    return failedOutcome(job.wire.id, { code: 'RESULT_NOT_JSON', message, details: '' }, { permanent: true });
  }
}

/** What a handler's error says of its job. The typed errors mean what they say, even after the signal has fired. */
export function outcomeOfError(job: HeldJob, error: unknown): JobOutcome {
  const id = job.wire.id;
  if (error instanceof SnoozeError) return snoozedOutcome(id, error.delayMs);
  if (error instanceof ReleaseError) return releasedOutcome(id, error.delayMs);
  if (error instanceof PermanentError) return failedOutcome(id, describe(error), { permanent: true });
  if (error instanceof RetryAfterError) return failedOutcome(id, describe(error), { retryDelayMs: error.delayMs });
  if (job.abortReason instanceof WorkerStoppingError) return releasedOutcome(id);
  if (job.abortReason instanceof JobTimeoutError) return outcomeOfTimeout(job, error);
  return failedOutcome(id, describe(error));
}

/** The attempt took too long; the handler's own error, if it has ended, is kept as a detail. */
export function outcomeOfTimeout(job: HeldJob, error?: unknown): JobOutcome {
  const message = job.abortReason?.message ?? '';
  return failedOutcome(job.wire.id, { code: 'TIMEOUT', message, details: error === undefined ? '' : detailsOf(error) });
}

/** True for what a handler says on purpose: it needs no warning in the log. */
export function isDeliberate(error: unknown): boolean {
  return (
    error instanceof PermanentError ||
    error instanceof RetryAfterError ||
    error instanceof SnoozeError ||
    error instanceof ReleaseError
  );
}

function describe(error: unknown): { code: string; message: string; details: string } {
  return { code: codeOf(error), message: messageOf(error), details: detailsOf(error) };
}

/** A stable code where the error has one (as Node's and PostgreSQL's do), else its class. */
function codeOf(error: unknown): string {
  if (!(error instanceof Error)) return 'THROWN';
  return 'code' in error && typeof error.code === 'string' && error.code !== '' ? error.code : error.name;
}

function messageOf(error: unknown): string {
  if (error instanceof Error) return error.message;
  return typeof error === 'string' ? error : `a handler threw ${typeof error}, which is not an Error`;
}

function detailsOf(error: unknown): string {
  return error instanceof Error ? (error.stack ?? '') : '';
}
