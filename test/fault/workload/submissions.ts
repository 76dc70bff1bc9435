import { setTimeout as delay } from 'node:timers/promises';
import { SkipleaseError, type JobClient, type NewJob } from '../../../worker/index.ts';
import type { History } from '../history/history.ts';
import type { Random } from '../random.ts';
import type { SubmittedJob } from '../history/events.ts';

/** Jobs that were accepted lately, to be submitted again, cancelled or looked at. */
const RECENT_MAX = 300;

/** Before a submit that was not answered is made again. */
const PAUSE_MS = 200;

export type IdentifiedJob = NewJob & { id: string };

/** One call, one call for many, or a stream of chunks. */
export type SubmitHow = 'single' | 'many' | 'stream';

/** What passes, if one only tries again. */
const PASSING: ReadonlySet<string> = new Set(['UNAVAILABLE', 'DEADLINE_EXCEEDED', 'RESOURCE_EXHAUSTED', 'ABORTED']);

/** Submits until it is accepted, with the same ids, and writes down each intention and each answer. */
export class Submissions {
  readonly #client: JobClient;
  readonly #history: History;
  readonly #recent: IdentifiedJob[] = [];

  constructor(client: JobClient, history: History) {
    this.#client = client;
    this.#history = history;
  }

  async submit(jobs: IdentifiedJob[], how: SubmitHow, again = false): Promise<void> {
    this.#history.write({ event: 'submit', jobs: jobs.map((job) => submitted(job, again)) });
    const ids = jobs.map(({ id }) => id);
    const existing = await this.until(() => this.#once(jobs, how), ids);
    if (existing === undefined) return;
    this.#history.write({ event: 'accepted', ids, existing });
    if (!again) this.#remember(jobs);
  }

  /** Ids that were accepted before: nothing may come of it. */
  async repeat(random: Random): Promise<void> {
    const jobs = this.#some(random, 5);
    if (jobs.length > 0) await this.submit(jobs, random.pick(['many', 'stream']), true);
  }

  async cancel(random: Random): Promise<void> {
    const ids = this.#some(random, 2).map(({ id }) => id);
    if (ids.length === 0) return;
    this.#history.write({ event: 'cancel', ids });
    const results = await this.until(() => this.#client.cancel(ids, 'on purpose'), ids);
    if (results !== undefined) this.#history.write({ event: 'cancel answered', results: results.map(({ jobId, outcome }) => [jobId, outcome]) });
  }

  /** One try: who looks in vain looks again soon enough. */
  async look(random: Random): Promise<void> {
    for (const { id } of this.#some(random, 1)) {
      try {
        const { state, attempt } = await this.#client.get(id);
        this.#history.write({ event: 'seen', id, state, attempt });
      } catch (error) {
        this.#passes(error as Error, [id]);
      }
    }
  }

  /** Tries until it is answered; undefined when it is refused for good. */
  async until<Result>(act: () => Promise<Result>, ids: string[]): Promise<Result | undefined> {
    for (;;) {
      try {
        return await act();
      } catch (error) {
        if (!this.#passes(error as Error, ids)) return undefined;
        await delay(PAUSE_MS);
      }
    }
  }

  /** What does not is written down: nothing here asks for what must be refused. */
  #passes(error: Error, ids: string[]): boolean {
    if (!(error instanceof SkipleaseError)) throw error;
    if (PASSING.has(error.code)) return true;
    this.#history.write({ event: 'refused', ids, code: error.code, message: error.message });
    return false;
  }

  /** Resolves to those that had been there before. */
  async #once(jobs: IdentifiedJob[], how: SubmitHow): Promise<string[]> {
    if (how === 'stream') {
      const existing: string[] = [];
      await this.#client.stream(jobs, {
        chunkJobs: 20,
        onChunk: ({ existingJobIds, error }) => {
          if (error !== undefined) throw error;
          existing.push(...existingJobIds);
        },
      });
      return existing;
    }
    const answers = how === 'many' ? await this.#client.submitMany(jobs) : await Promise.all(jobs.map((job) => this.#client.submit(job)));
    return answers.filter((answer) => answer.existing).map(({ id }) => id);
  }

  #remember(jobs: IdentifiedJob[]): void {
    // What stands for others in line or in a batch is left alone.
    this.#recent.push(...jobs.filter(({ batchId }) => batchId === undefined));
    this.#recent.splice(0, Math.max(0, this.#recent.length - RECENT_MAX));
  }

  #some(random: Random, count: number): IdentifiedJob[] {
    return this.#recent.length === 0 ? [] : [...new Set(Array.from({ length: count }, () => random.pick(this.#recent)))];
  }
}

function submitted({ id, queue, type, serialKey }: IdentifiedJob, again: boolean): SubmittedJob {
  return { id, queue, type, ...(serialKey !== undefined && { serialKey }), ...(again && { again }) };
}
