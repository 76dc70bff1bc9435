import type { JobSpec } from '../../proto/gen/skiplease/v1/job.ts';
import { specBytes } from '../new_job.ts';

/** Below the 4 MiB that a coordinator takes in one message unless it is set otherwise. */
export const messageBytesMaxDefault = 3 * 1024 * 1024;

/** Gathers jobs into chunks that fit into one message. */
export class Chunker {
  readonly #jobsMax: number;
  readonly #bytesMax: number;
  #jobs: JobSpec[] = [];
  #bytes = 0;

  constructor(jobsMax: number, bytesMax: number) {
    this.#jobsMax = jobsMax;
    this.#bytesMax = bytesMax;
  }

  /** Adds a job. Returns the chunk that is full now, if one is. */
  add(spec: JobSpec): JobSpec[] | undefined {
    const bytes = specBytes(spec);
    const full = this.#jobs.length > 0 && this.#bytes + bytes > this.#bytesMax ? this.take() : undefined;
    this.#jobs.push(spec);
    this.#bytes += bytes;
    return full ?? (this.#jobs.length >= this.#jobsMax ? this.take() : undefined);
  }

  /** What has been gathered; undefined when that is nothing. */
  take(): JobSpec[] | undefined {
    if (this.#jobs.length === 0) return undefined;
    const jobs = this.#jobs;
    this.#jobs = [];
    this.#bytes = 0;
    return jobs;
  }
}
