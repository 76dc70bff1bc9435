import type { BatchContext, JobContext } from './context.ts';
import type { Job } from './job.ts';

/**
 * Does one job. What it returns is the job's result: undefined is none, a Uint8Array goes as it is, anything else as
 * JSON. What it throws is a failed attempt, unless it is one of the typed errors. It may run again after a crash, so
 * its effects should be safe to repeat.
 */
export type Handler = (job: Job, context: JobContext) => unknown;

/**
 * What became of a batch: an array in the order of the jobs, or a Map by job id. Each value is what a handler of that
 * one job would have returned, or an Error that it would have thrown. Nothing at all: every job succeeded, without result.
 */
export type BatchOutcomes = readonly unknown[] | ReadonlyMap<string, unknown> | void;

/** Does all jobs of one type of one lease at once. What it throws, each of the jobs has failed with. */
export type BatchHandler = (jobs: readonly Job[], context: BatchContext) => BatchOutcomes | Promise<BatchOutcomes>;
