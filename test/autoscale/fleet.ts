import { startScript, type TestProcess } from '../support/processes.ts';

const SCRIPT = new URL('./worker.ts', import.meta.url).pathname;

export interface WorkerOptions {
  addresses: string[];
  queue: string;
  workerId: string;
  effectsFile: string;
  concurrency: number;
  drainDeadlineMs: number;
}

/** A worker as a process, which stands for a pod. */
export function startWorker(options: WorkerOptions): Promise<TestProcess> {
  return startScript(SCRIPT, [JSON.stringify(options)], {});
}

/** How a pod ended that was told to. */
export interface Ending {
  workerId: string;
  /** undefined: it did not end within its grace, and was killed. */
  code: number | undefined;
  tookMs: number;
}

/** A Deployment of workers: processes, started and stopped as the replica count says. */
export class Fleet {
  readonly endings: Ending[] = [];
  readonly #options: Omit<WorkerOptions, 'workerId'>;
  /** terminationGracePeriodSeconds, in real milliseconds: a process ends no faster because time is said to. */
  readonly #graceMs: number;
  readonly #running: { workerId: string; process: TestProcess }[] = [];
  readonly #ending = new Set<Promise<void>>();
  #started = 0;
  #changing: Promise<void> = Promise.resolve();

  constructor(options: Omit<WorkerOptions, 'workerId'>, graceMs: number) {
    this.#options = options;
    this.#graceMs = graceMs;
  }

  get replicas(): number {
    return this.#running.length;
  }

  /** Workers that were told to stop, and have not ended yet. */
  get terminating(): number {
    return this.#ending.size;
  }

  /** Resolves when the processes are started and told to stop; those that stop end in their own time. */
  scaleTo(replicas: number): Promise<void> {
    this.#changing = this.#changing.then(async () => {
      while (this.#running.length < replicas) {
        this.#started += 1;
        const workerId = `worker-${this.#started}`;
        this.#running.push({ workerId, process: await startWorker({ ...this.#options, workerId }) });
      }
      // As a ReplicaSet does: of pods that are all ready, the newest first.
      this.#running.splice(replicas).forEach((worker) => this.#stop(worker));
    });
    return this.#changing;
  }

  /** Nobody is left. */
  async end(): Promise<void> {
    await this.scaleTo(0);
    await Promise.all(this.#ending);
  }

  #stop({ workerId, process }: { workerId: string; process: TestProcess }): void {
    const startedMs = performance.now();
    const ended = process.stop(this.#graceMs).then((code) => code, () => undefined)
      .then((code) => {
        this.endings.push({ workerId, code, tookMs: performance.now() - startedMs });
        this.#ending.delete(ended);
      });
    this.#ending.add(ended);
  }
}
