/** The worker library and the submitter's client: everything that is meant to be used from outside this folder. */
export { Worker } from './worker.ts';
export type { WorkerOptions } from './options.ts';
export type { BatchHandler, BatchOutcomes, Handler } from './handler.ts';
export type { Job } from './job.ts';
export type { BatchContext, JobContext } from './context.ts';
export type { Logger } from './logger.ts';
export { PermanentError, ReleaseError, RetryAfterError, SnoozeError } from './errors.ts';
export { AbortReason, JobCancelledError, JobTimeoutError, LeaseLostError, WorkerStoppingError } from './abort_reasons.ts';
export { SkipleaseError } from './skiplease_error.ts';
export type { FieldViolation } from './skiplease_error.ts';
export { JobClient } from './client/job_client.ts';
export type { CancelResult, JobClientOptions, RetryResult } from './client/job_client.ts';
export type { SubmittedJob } from './client/submit_line.ts';
export { newJobId } from './job_id.ts';
export type { NewJob } from './new_job.ts';
export type { AttemptSnapshot, JobSnapshot, JobStateName } from './client/job_snapshot.ts';
export type { ChunkAcknowledgement } from './client/chunk_stream.ts';
export type { StreamOptions, StreamTotals } from './client/submit_stream.ts';
