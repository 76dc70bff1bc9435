import { setTimeout as delay } from 'node:timers/promises';
import { status as codes } from '@grpc/grpc-js';
import type { StatusObject } from '@grpc/grpc-js';
import type { JobSpec } from '../../proto/gen/skiplease/v1/job.ts';
import type { StreamSubmitJobsResponse } from '../../proto/gen/skiplease/v1/job_service.ts';
import { SkipleaseError } from '../skiplease_error.ts';
import { openSubmitCall, writeChunk } from '../wire/submit_call.ts';
import type { SubmitCall } from '../wire/submit_call.ts';
import type { Coordinators } from './coordinators.ts';
import { isPassing, retryWaitMs } from './retry.ts';

/** What became of one chunk: committed, or refused as a whole. */
export interface ChunkAcknowledgement {
  /** Counts from 1. */
  chunk: number;
  /** In the order of the chunk; where another job has the unique key, that job's. */
  jobIds: readonly string[];
  /** Those of jobIds that had been submitted before. */
  existingJobIds: readonly string[];
  /** Set: nothing of the chunk was created, and trying again would not help. */
  error: SkipleaseError | undefined;
}

/** A chunk until its acknowledgement: written once, so that thousands of jobs wait as one Buffer and not as objects. */
interface Flight {
  chunk: number;
  jobIds: string[];
  message: Buffer;
  tries: number;
}

/**
 * Chunks on their way through StreamSubmitJobs. A bounded number waits for its acknowledgement (that bound is the
 * backpressure: what is not acknowledged is all that is buffered); when the stream breaks, they go out again on the next.
 */
export class ChunkStream {
  readonly #coordinators: Coordinators;
  readonly #inFlightMax: number;
  readonly #onAcknowledged: (acknowledgement: ChunkAcknowledgement) => void;
  readonly #onFailed: (error: Error) => void;
  readonly #inFlight = new Map<number, Flight>();
  readonly #waiters = new Set<() => void>();
  /** Runs while something is on its way: a coordinator that says nothing for so long is given up. */
  #silence: NodeJS.Timeout | undefined;
  #silent = false;
  #call: SubmitCall | undefined;
  #chunks = 0;
  /** Broken streams in a row, with no acknowledgement in between. */
  #failures = 0;
  #error: Error | undefined;
  #closed = false;

  constructor(
    coordinators: Coordinators,
    inFlightMax: number,
    onAcknowledged: (acknowledgement: ChunkAcknowledgement) => void,
    /** It has failed for good: what was not acknowledged may or may not be committed. */
    onFailed: (error: Error) => void = () => {},
  ) {
    this.#coordinators = coordinators;
    this.#inFlightMax = inFlightMax;
    this.#onAcknowledged = onAcknowledged;
    this.#onFailed = onFailed;
    this.#open();
  }

  /** Nothing is on its way. */
  get idle(): boolean {
    return this.#inFlight.size === 0;
  }

  /**
   * Waits for room, then sends; resolves to the chunk's number. Rejects once the stream has failed for good, and with
   * INVALID_ARGUMENT when a job has no form on the wire (a priority of 1.5): then nothing was sent.
   */
  async send(jobs: JobSpec[]): Promise<number> {
    await this.#until(() => this.#inFlight.size < this.#inFlightMax);
    const chunk = ++this.#chunks;
    const flight = { chunk, jobIds: jobs.map((job) => job.id), message: written(chunk, jobs), tries: 1 };
    this.#inFlight.set(chunk, flight);
    this.#write(flight);
    return chunk;
  }

  /** Resolves when every chunk is acknowledged. */
  async finish(): Promise<void> {
    await this.#until(() => this.#inFlight.size === 0);
    this.#closed = true;
    this.#call?.end();
  }

  /** Leaves at once; chunks that are not acknowledged may or may not be committed. */
  cancel(): void {
    this.#closed = true;
    clearTimeout(this.#silence);
    this.#call?.cancel();
  }

  #open(): void {
    const call = openSubmitCall(this.#coordinators.current());
    this.#call = call;
    call.on('data', (response: StreamSubmitJobsResponse) => this.#answered(response));
    call.on('error', () => {}); // `status` follows and says the same
    call.on('status', (status: StatusObject) => void this.#ended(status));
    for (const flight of this.#inFlight.values()) this.#write(flight);
  }

  #write({ message }: Flight): void {
    this.#call?.write(message);
    this.#silence ??= setTimeout(() => {
      this.#silent = true;
      this.#call?.cancel();
    }, this.#coordinators.timeoutMs);
  }

  #answered({ chunk, jobIds, existingJobIds, error: refusal }: StreamSubmitJobsResponse): void {
    const flight = this.#inFlight.get(chunk);
    if (flight === undefined) return;
    this.#failures = 0;
    this.#silence?.refresh();
    const error = refusal && new SkipleaseError(refusal.code, refusal.message, refusal.details);
    if (error !== undefined && (isPassing(error) || this.#isTooEarly(flight, error)) && flight.tries < this.#coordinators.triesMax) {
      void this.#sendLater(flight, error);
      return;
    }
    this.#inFlight.delete(chunk);
    if (this.idle) this.#hush();
    try {
      // None are named when each job got the id that we chose.
      this.#onAcknowledged({ chunk, jobIds: jobIds.length > 0 ? jobIds : flight.jobIds, existingJobIds, error });
    } catch (thrown) {
      this.fail(thrown instanceof Error ? thrown : new Error(String(thrown)));
    }
    this.#wake();
  }

  /** It names jobs of a chunk before it, which itself is to be sent again. */
  #isTooEarly({ chunk }: Flight, { reason }: SkipleaseError): boolean {
    const [first] = this.#inFlight.keys();
    return reason === 'AFTER_JOB_NOT_FOUND' && first! < chunk;
  }

  async #sendLater(flight: Flight, error: SkipleaseError): Promise<void> {
    flight.tries += 1;
    const call = this.#call;
    await delay(retryWaitMs(error, flight.tries - 2));
    // A stream that was opened meanwhile has sent it already.
    if (!this.#closed && this.#call === call) this.#write(flight);
  }

  async #ended(status: StatusObject): Promise<void> {
    this.#call = undefined;
    this.#hush();
    if (this.#closed) return;
    const ended = { ...status, ...this.#whyEnded(status.code) };
    const error = SkipleaseError.fromStatus(ended);
    this.#failures += 1;
    if (!isPassing(error) || this.#failures >= this.#coordinators.triesMax) {
      this.fail(error);
      return;
    }
    this.#coordinators.failed(error);
    await delay(retryWaitMs(error, this.#failures - 1));
    if (!this.#closed) this.#open();
  }

  #whyEnded(code: codes): Partial<StatusObject> {
    const silent = this.#silent;
    this.#silent = false;
    if (silent) return { code: codes.DEADLINE_EXCEEDED, details: `no answer within ${this.#coordinators.timeoutMs} ms` };
    return { code: code === codes.OK ? codes.UNAVAILABLE : code };
  }

  #hush(): void {
    clearTimeout(this.#silence);
    this.#silence = undefined;
  }

  /** Ends it for good: whoever waits for it is told. */
  fail(error: Error): void {
    if (this.#error !== undefined) return;
    this.#error = error;
    this.cancel();
    this.#onFailed(error);
    this.#wake();
  }

  async #until(condition: () => boolean): Promise<void> {
    while (this.#error === undefined && !condition()) {
      await new Promise<void>((resolve) => this.#waiters.add(resolve));
    }
    if (this.#error !== undefined) throw this.#error;
  }

  #wake(): void {
    for (const resolve of this.#waiters) resolve();
    this.#waiters.clear();
  }
}

function written(chunk: number, jobs: JobSpec[]): Buffer {
  try {
    return writeChunk({ chunk, jobs });
  } catch (cause) {
    const message = `a job cannot be written: ${cause instanceof Error ? cause.message : String(cause)}`;
    throw new SkipleaseError(codes.INVALID_ARGUMENT, message, [], { cause });
  }
}
