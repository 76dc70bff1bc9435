import { JobClient, newJobId, Worker, type Logger } from '../../worker/index.ts';
import { waitFor } from '../support/wait.ts';

const SUBMIT_EACH_MS = 25;
const silent: Logger = { debug: () => undefined, info: () => undefined, warn: () => undefined, error: () => undefined };

/** How a submit, and a job from its submit to its handler, fared beside the attack. Milliseconds. */
export interface Service {
  jobs: number;
  submitP99Ms: number;
  jobP99Ms: number;
  slowestMs: number;
}

/**
 * Somebody decent, with the real client and the real worker: submits a job every 25 ms and handles it. Its queue, type and ids are
 * its own, so that nobody else's words can mean its jobs.
 */
export class GoodCitizen {
  readonly #client: JobClient;
  readonly #worker: Worker;
  readonly #running: Promise<void>;
  readonly #queue = `good-${newJobId()}`;
  /** By id, when it was submitted; taken out by the handler. */
  readonly #open = new Map<string, number>();
  readonly #submitMs: number[] = [];
  readonly #jobMs: number[] = [];
  readonly #problems: string[] = [];
  readonly #submitting: Promise<void>;
  #leaves = false;

  constructor(address: string) {
    this.#client = new JobClient({ addresses: [address], triesMax: 1 });
    this.#worker = new Worker({
      addresses: [address], queues: [this.#queue], concurrency: 8, handleSignals: false, logger: silent, workerId: 'good',
      handlers: { [this.#queue]: (job) => Promise.resolve(this.#handled(job.id, job.attempt)) },
    });
    this.#running = this.#worker.run();
    this.#submitting = this.#submitAll();
  }

  /** What it has to complain of until now. */
  get problems(): readonly string[] {
    return this.#problems;
  }

  /** Jobs that its worker has handled until now. */
  get jobs(): number {
    return this.#jobMs.length;
  }

  /** Waits until all its jobs have ended, and says how it was served. */
  async leave(deadlineMs: number): Promise<Service> {
    this.#leaves = true;
    await this.#submitting;
    await waitFor(() => this.#open.size === 0, { deadlineMs, what: 'the good worker to handle all that the good client submitted' })
      .catch((error: Error) => this.#problems.push(`${error.message} Left: ${[...this.#open.keys()].slice(0, 3).join(', ')} …`));
    await this.#worker.stop();
    await this.#running;
    this.#client.close();
    return {
      jobs: this.#jobMs.length, submitP99Ms: percentile(this.#submitMs, 0.99), jobP99Ms: percentile(this.#jobMs, 0.99), slowestMs: percentile(this.#jobMs, 1),
    };
  }

  async #submitAll(): Promise<void> {
    const pending = new Set<Promise<void>>();
    while (!this.#leaves) {
      const one = this.#submitOne().finally(() => pending.delete(one));
      pending.add(one);
      await new Promise((resolve) => {
        setTimeout(resolve, SUBMIT_EACH_MS);
      });
    }
    await Promise.all(pending);
  }

  async #submitOne(): Promise<void> {
    const id = newJobId();
    const startedMs = performance.now();
    this.#open.set(id, startedMs);
    try {
      await this.#client.submit({ id, queue: this.#queue, type: this.#queue });
      this.#submitMs.push(performance.now() - startedMs);
    } catch (error) {
      this.#problems.push(`a good submit was refused: ${(error as Error).message}`);
    }
  }

  #handled(id: string, attempt: number): void {
    const startedMs = this.#open.get(id);
    if (startedMs === undefined || attempt !== 1) {
      this.#problems.push(`the good worker was given ${id} at attempt ${attempt}, ${startedMs === undefined ? 'again' : 'as its first'}`);
      return;
    }
    this.#open.delete(id);
    this.#jobMs.push(performance.now() - startedMs);
  }
}

function percentile(values: number[], share: number): number {
  const sorted = Float64Array.from(values).sort();
  return Math.round(sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? 0);
}
