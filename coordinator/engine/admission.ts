import type { Clock } from '../clock.ts';
import { SkipleaseError } from '../errors.ts';
import { SUBMIT_WAITING_BYTES_MAX, SUBMIT_WAITING_CALLS_MAX, SUBMIT_WAITING_JOBS_MAX } from '../limits.ts';

/** What a client that was turned away waits before it tries again: milliseconds. */
const RETRY_AFTER_MS = 250;
/** Clients whose rate is remembered. Those beyond take the place of whoever was heard of longest ago. */
const CLIENTS_MAX = 10_000;

/** Limits of each client by itself, on this coordinator. */
export interface ClientLimits {
  /** Jobs that wait for their commit. */
  waitingJobsMax: number;
  /** 0: as many as it likes. */
  jobsPerSecond: number;
}

/** What a submit takes up until it is answered. */
export interface SubmitWeight {
  client: string;
  jobs: number;
  bytes: number;
}

/**
 * Who may submit now. What waits for its commit is bounded in jobs, bytes and calls; of the jobs, one client has no more than
 * its part, so that it cannot have everybody turned away. A submit passes while its bound is not reached, however large it is:
 * each bound is overshot by no more than one submit.
 */
export class Admission {
  readonly #limits: ClientLimits;
  readonly #clock: Clock;
  #jobs = 0;
  #bytes = 0;
  #calls = 0;
  /** Waiting jobs of those who have any. */
  readonly #byClient = new Map<string, number>();
  /** When a client's bucket, which holds a second's jobs, is full again; whoever is not here has a full one. */
  readonly #fullAgainMs = new Map<string, number>();

  constructor(limits: ClientLimits, clock: Clock) {
    this.#limits = limits;
    this.#clock = clock;
  }

  /** Why a submit of this client is turned away now; undefined: it is not. */
  refusal(client: string): SkipleaseError | undefined {
    if (this.#jobs >= SUBMIT_WAITING_JOBS_MAX || this.#bytes >= SUBMIT_WAITING_BYTES_MAX || this.#calls >= SUBMIT_WAITING_CALLS_MAX) {
      return exhausted('TOO_MANY_SUBMITS_WAITING', 'More submits wait for their commit than this coordinator holds. Send it again a little later.', RETRY_AFTER_MS);
    }
    const waiting = this.#byClient.get(client) ?? 0;
    if (waiting >= this.#limits.waitingJobsMax) {
      return exhausted('CLIENT_SUBMITS_WAITING', `${waiting} jobs of this client wait for their commit, of ${this.#limits.waitingJobsMax} at most `
        + '(SKIPLEASE_CLIENT_WAITING_JOBS_MAX). Send it again a little later.', RETRY_AFTER_MS);
    }
    const owedMs = this.#fullInMs(client) - 1_000;
    if (owedMs >= 0) {
      return exhausted('CLIENT_TOO_FAST', `This client submits more than ${this.#limits.jobsPerSecond} jobs in a second (SKIPLEASE_CLIENT_JOBS_PER_SECOND). Send it again later.`,
        Math.ceil(owedMs) + 1);
    }
    return undefined;
  }

  /** Counts it in, until `leave`. RESOURCE_EXHAUSTED when that is too much. */
  enter({ client, jobs, bytes }: SubmitWeight): void {
    const refusal = this.refusal(client);
    if (refusal !== undefined) {
      throw refusal;
    }
    if (this.#limits.jobsPerSecond > 0) {
      this.#takeTokens(client, jobs);
    }
    this.#jobs += jobs;
    this.#bytes += bytes;
    this.#calls += 1;
    this.#byClient.set(client, (this.#byClient.get(client) ?? 0) + jobs);
  }

  leave({ client, jobs, bytes }: SubmitWeight): void {
    this.#jobs -= jobs;
    this.#bytes -= bytes;
    this.#calls -= 1;
    const waiting = this.#byClient.get(client)! - jobs;
    if (waiting > 0) {
      this.#byClient.set(client, waiting);
    } else {
      this.#byClient.delete(client);
    }
  }

  /** Until its bucket is full: milliseconds. */
  #fullInMs(client: string): number {
    const fullAgainMs = this.#fullAgainMs.get(client);
    return fullAgainMs === undefined ? 0 : Math.max(0, fullAgainMs - this.#clock.nowMs());
  }

  /** A submit passes while there is a token; what it takes beyond is owed, and waited for by the next one. */
  #takeTokens(client: string, jobs: number): void {
    const fullAgainMs = this.#clock.nowMs() + this.#fullInMs(client) + (jobs * 1_000) / this.#limits.jobsPerSecond;
    this.#fullAgainMs.delete(client);
    if (this.#fullAgainMs.size >= CLIENTS_MAX) {
      this.#fullAgainMs.delete(this.#fullAgainMs.keys().next().value!);
    }
    this.#fullAgainMs.set(client, fullAgainMs);
  }
}

function exhausted(reason: string, message: string, retryAfterMs: number): SkipleaseError {
  return new SkipleaseError('RESOURCE_EXHAUSTED', reason, message, { retryAfterMs });
}
