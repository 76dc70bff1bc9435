import { Metadata } from '@grpc/grpc-js';
import { CancelJobsRequest, CancelOutcome, JobServiceClient, RetryJobsRequest, RetryOutcome } from '../../proto/gen/skiplease/v1/job_service.ts';
import type {
  CancelJobsResponse,
  GetJobResponse,
  RetryJobsResponse,
  SubmitJobsResponse,
} from '../../proto/gen/skiplease/v1/job_service.ts';
import type { JobSpec } from '../../proto/gen/skiplease/v1/job.ts';
import { Chunker } from './chunks.ts';
import { coordinatorsOf } from './client_options.ts';
import type { ClientOptions } from './client_options.ts';
import type { Coordinators } from './coordinators.ts';
import { wireFilter, type FailedJobFilter, type JobFilter } from './job_filter.ts';
import { nameOf, snapshotFrom } from './job_snapshot.ts';
import type { JobSnapshot } from './job_snapshot.ts';
import { specFrom } from '../new_job.ts';
import type { NewJob } from '../new_job.ts';
import { SubmitLine } from './submit_line.ts';
import type { SubmittedJob } from './submit_line.ts';
import { submitStream } from './submit_stream.ts';
import type { StreamOptions, StreamTotals } from './submit_stream.ts';
import { watching } from './watch.ts';

export interface JobClientOptions extends ClientOptions {
  /**
   * Jobs are sent in messages of at most so many bytes (a larger job goes alone). Default 3 MiB; lower it for
   * coordinators that take less than 4 MiB.
   */
  messageBytesMax?: number;
}

export interface CancelResult {
  jobId: string;
  outcome: 'CANCELLED' | 'ALREADY_FINAL' | 'NOT_FOUND';
}

export interface RetryResult {
  jobId: string;
  outcome: 'RETRIED' | 'ALREADY_RETRIED' | 'NOT_FAILED' | 'NOT_FOUND';
  /** The new job, for RETRIED and ALREADY_RETRIED. */
  retriedAsJobId: string;
}

/** How retryAll goes about it. */
export interface RetryOptions {
  /** At most so many of those that match. Default: all. */
  jobsMax?: number;
  /** They become READY evenly spread, so many in a second: 0.001 to 1,000,000. Default: at once. */
  jobsPerSecond?: number;
  /** The new jobs' budget: 1 to 1,000. Default: that of the job that failed. */
  maxAttempts?: number;
}

/** A call by filter goes on for as long as there are jobs: some ten thousand in a second. */
const filterTimeoutMsMin = 600_000;

/** Jobs in one SubmitJobs call of submitMany, each committed as a whole. */
const submitJobsMax = 1_000;

/** Ids in one call of cancel or retry: the contract's own limit. */
const idsMax = 1_000;

/**
 * Submits jobs and looks after them. Ids are made here, before the first try, so a call that is repeated after a
 * broken connection creates nothing twice. Every method rejects with a SkipleaseError.
 */
export class JobClient {
  readonly #coordinators: Coordinators;
  readonly #line: SubmitLine;

  /** Throws TypeError that names each bad option. */
  constructor(options: JobClientOptions) {
    this.#coordinators = coordinatorsOf(JobServiceClient, options);
    this.#line = new SubmitLine(this.#coordinators);
  }

  /** Resolves once the job is committed. */
  async submit(job: NewJob): Promise<SubmittedJob> {
    return this.#line.submit(specFrom(job, this.#coordinators.codec));
  }

  /**
   * Resolves, in the order of the jobs, once all are committed. They go in chunks of up to 1,000, each all or nothing;
   * when one is refused, those before it stay. Choose the ids yourself (newJobId) to be able to repeat the whole.
   */
  async submitMany(jobs: Iterable<NewJob>): Promise<SubmittedJob[]> {
    const submitted: SubmittedJob[] = [];
    const chunker = new Chunker(submitJobsMax, this.#coordinators.messageBytesMax);
    const send = async (chunk: JobSpec[] | undefined): Promise<void> => {
      if (chunk === undefined) return;
      const { jobIds, existingJobIds } = await this.#coordinators.call<SubmitJobsResponse>(
        (client, options, callback) => client.submitJobs({ jobs: chunk }, new Metadata(), options, callback),
      );
      const existing = new Set(existingJobIds);
      for (const id of jobIds) submitted.push({ id, existing: existing.has(id) });
    };
    for (const job of jobs) await send(chunker.add(specFrom(job, this.#coordinators.codec)));
    await send(chunker.take());
    return submitted;
  }

  /** Submits a flood: reads the source no faster than it is committed. A refused chunk is counted, and does not end it. */
  async stream(jobs: Iterable<NewJob> | AsyncIterable<NewJob>, options: StreamOptions = {}): Promise<StreamTotals> {
    return submitStream(this.#coordinators, jobs, options);
  }

  /** Rejects with NOT_FOUND when there is no such job. */
  async get(jobId: string): Promise<JobSnapshot> {
    const { job } = await this.#coordinators.call<GetJobResponse>(
      (client, options, callback) => client.getJob({ jobId }, new Metadata(), options, callback),
    );
    return snapshotFrom(job!, this.#coordinators.codec);
  }

  /** The job as it is now, then after each change that is seen; ends once it is final. */
  async *watch(jobId: string): AsyncGenerator<JobSnapshot, void, void> {
    for await (const { job } of watching(this.#coordinators, (client) => client.watchJob({ jobId }))) {
      if (job === undefined) continue;
      const snapshot = snapshotFrom(job, this.#coordinators.codec);
      yield snapshot;
      if (snapshot.final) return;
    }
  }

  /** A waiting job ends at once; of a running one the worker is told. The reason (200 characters) is kept with the job. */
  async cancel(jobIds: readonly string[], reason = ''): Promise<CancelResult[]> {
    const results: CancelResult[] = [];
    for (const ids of slices(jobIds)) {
      const response = await this.#coordinators.call<CancelJobsResponse>(
        (client, options, callback) => client.cancelJobs(CancelJobsRequest.create({ jobIds: ids, reason }), new Metadata(), options, callback),
      );
      for (const { jobId, outcome } of response.results) {
        results.push({ jobId, outcome: nameOf(CancelOutcome, outcome) as CancelResult['outcome'] });
      }
    }
    return results;
  }

  /** Makes a new job of each FAILED one, at most one for each: a repeated call names the first. */
  async retry(jobIds: readonly string[]): Promise<RetryResult[]> {
    const results: RetryResult[] = [];
    for (const ids of slices(jobIds)) {
      const response = await this.#coordinators.call<RetryJobsResponse>(
        (client, options, callback) => client.retryJobs(RetryJobsRequest.create({ jobIds: ids }), new Metadata(), options, callback),
      );
      for (const { outcome, ...same } of response.results) {
        results.push({ ...same, outcome: nameOf(RetryOutcome, outcome) as RetryResult['outcome'] });
      }
    }
    return results;
  }

  /** Cancels all that match and are not final; resolves to how many the last try cancelled. */
  async cancelAll(filter: JobFilter, reason = ''): Promise<number> {
    const request = CancelJobsRequest.create({ filter: wireFilter(filter), reason });
    const { jobsCancelled } = await this.#coordinators.call<CancelJobsResponse>(
      (client, options, callback) => client.cancelJobs(request, new Metadata(), options, callback), { timeoutMs: this.#filterTimeoutMs },
    );
    return jobsCancelled;
  }

  /**
   * Makes a new job of each FAILED one that matches, oldest first, at most one for each; resolves to how many the last try
   * made. With `jobsMax` or `jobsPerSecond` it is tried once: when it breaks off, what was re-driven stays so, and what to
   * ask for next is yours to say.
   */
  async retryAll(filter: FailedJobFilter, { jobsMax = 0, jobsPerSecond = 0, maxAttempts = 0 }: RetryOptions = {}): Promise<number> {
    const request = RetryJobsRequest.create({ filter: wireFilter(filter), jobsMax, jobsPerSecond, maxAttempts });
    const { jobsRetried } = await this.#coordinators.call<RetryJobsResponse>(
      (client, options, callback) => client.retryJobs(request, new Metadata(), options, callback),
      { timeoutMs: this.#filterTimeoutMs, ...(jobsMax === 0 && jobsPerSecond === 0 ? {} : { triesMax: 1 }) },
    );
    return jobsRetried;
  }

  get #filterTimeoutMs(): number {
    return Math.max(this.#coordinators.timeoutMs, filterTimeoutMsMin);
  }

  /** Closes its connections. Calls under way fail. */
  close(): void {
    this.#line.close();
    this.#coordinators.close();
  }
}

function* slices(ids: readonly string[]): Generator<string[]> {
  for (let start = 0; start < ids.length; start += idsMax) yield ids.slice(start, start + idsMax);
}
