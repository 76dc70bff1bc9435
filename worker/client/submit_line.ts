import { Metadata, status as codes } from '@grpc/grpc-js';
import type { JobSpec } from '../../proto/gen/skiplease/v1/job.ts';
import type { SubmitJobResponse } from '../../proto/gen/skiplease/v1/job_service.ts';
import { SkipleaseError } from '../skiplease_error.ts';
import { Chunker } from './chunks.ts';
import { ChunkStream, type ChunkAcknowledgement } from './chunk_stream.ts';
import type { Coordinators } from './coordinators.ts';

/** Chunks on their way at once; what is submitted meanwhile travels together in the next. */
const CHUNKS_IN_FLIGHT = 4;
const CHUNK_JOBS = 1_000;
/** Jobs that wait for their turn in one client. */
const WAITING_MAX = 100_000;
/** A stream that nobody uses is closed, so that it keeps no process alive: milliseconds. */
const IDLE_MS = 500;

export interface SubmittedJob {
  id: string;
  /** Nothing was created: this id was submitted before, or it is that of another job that has the unique key. */
  existing: boolean;
}

interface Waiter {
  spec: JobSpec;
  resolve: (job: SubmittedJob) => void;
  reject: (error: unknown) => void;
}

/**
 * Single submits over one stream that stays open between them: a message costs a third of what a call of its own does,
 * and under load many travel in one. A chunk that is refused is taken apart: each of its jobs gets an answer of its own.
 */
export class SubmitLine {
  readonly #coordinators: Coordinators;
  readonly #onWay = new Map<number, Waiter[]>();
  #waiting: Waiter[] = [];
  #stream: ChunkStream | undefined;
  #sending = false;
  #idleTimer: NodeJS.Timeout | undefined;

  constructor(coordinators: Coordinators) {
    this.#coordinators = coordinators;
  }

  /** Rejects with RESOURCE_EXHAUSTED when too many wait already. */
  submit(spec: JobSpec): Promise<SubmittedJob> {
    if (this.#waiting.length >= WAITING_MAX) {
      const message = `${WAITING_MAX} jobs wait to be submitted by this client: await some of them, or use stream(), which reads no faster than it sends`;
      return Promise.reject(new SkipleaseError(codes.RESOURCE_EXHAUSTED, message));
    }
    return new Promise((resolve, reject) => {
      this.#waiting.push({ spec, resolve, reject });
      if (!this.#sending) void this.#send();
    });
  }

  /** Submits under way fail. */
  close(): void {
    clearTimeout(this.#idleTimer);
    const closed = new SkipleaseError(codes.CANCELLED, 'the client was closed');
    for (const { reject } of this.#waiting.splice(0)) reject(closed);
    this.#stream?.fail(closed);
  }

  async #send(): Promise<void> {
    this.#sending = true;
    clearTimeout(this.#idleTimer);
    // What else is submitted in this turn travels along.
    await Promise.resolve();
    while (this.#waiting.length > 0) await this.#sendTogether(this.#take());
    this.#sending = false;
  }

  async #sendTogether(waiters: Waiter[]): Promise<void> {
    this.#stream ??= this.#open();
    try {
      this.#onWay.set(await this.#stream.send(waiters.map(({ spec }) => spec)), waiters);
    } catch (error) {
      // A job that cannot be written takes no other with it.
      const apart = waiters.length > 1 && error instanceof SkipleaseError && error.code === 'INVALID_ARGUMENT';
      for (const waiter of waiters) {
        if (apart) await this.#sendTogether([waiter]);
        else waiter.reject(error);
      }
    }
  }

  #open(): ChunkStream {
    return new ChunkStream(
      this.#coordinators, CHUNKS_IN_FLIGHT, (acknowledgement) => this.#acknowledged(acknowledgement), (error) => this.#fail(error),
    );
  }

  /** As many as one message carries. */
  #take(): Waiter[] {
    const chunker = new Chunker(CHUNK_JOBS, this.#coordinators.messageBytesMax);
    let count = 0;
    while (count < this.#waiting.length && chunker.add(this.#waiting[count]!.spec) === undefined) count += 1;
    return this.#waiting.splice(0, Math.max(1, count));
  }

  #acknowledged({ chunk, jobIds, existingJobIds, error }: ChunkAcknowledgement): void {
    const waiters = this.#onWay.get(chunk) ?? [];
    this.#onWay.delete(chunk);
    if (error !== undefined) {
      for (const waiter of waiters) void this.#alone(waiter);
    } else {
      const existing = new Set(existingJobIds);
      for (const [index, { resolve }] of waiters.entries()) resolve({ id: jobIds[index]!, existing: existing.has(jobIds[index]!) });
    }
    if (this.#onWay.size === 0) {
      clearTimeout(this.#idleTimer);
      this.#idleTimer = setTimeout(() => this.#rest(), IDLE_MS);
    }
  }

  /** Its own call, for its own error. */
  async #alone({ spec, resolve, reject }: Waiter): Promise<void> {
    try {
      const { jobId, existing } = await this.#coordinators.call<SubmitJobResponse>(
        (client, options, callback) => client.submitJob({ job: spec }, new Metadata(), options, callback),
      );
      resolve({ id: jobId, existing });
    } catch (error) {
      reject(error);
    }
  }

  #rest(): void {
    void this.#stream?.finish().catch(() => {});
    this.#stream = undefined;
  }

  /** The stream is gone for good, and all that was on it. The next submit opens another. */
  #fail(error: Error): void {
    this.#stream = undefined;
    const lost = [...this.#onWay.values()].flat();
    this.#onWay.clear();
    for (const { reject } of lost) reject(error);
  }
}
