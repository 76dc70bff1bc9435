import { setTimeout as delay } from 'node:timers/promises';
import { JobClient, newJobId, Worker } from '../../worker/index.ts';
import { KeptLog } from '../unit/worker_parts.ts';
import { waitFor } from './wait.ts';

/** Jobs of one submit. */
const SUBMIT_JOBS = 20;
/** Jobs that wait or run at most: so far the submitters are ahead of the workers. */
const AHEAD_JOBS_MAX = 200;
const PAUSE_MS = 5;
const DEADLINE_MS = 60_000;

export interface SteadyLoadOptions {
  addresses: readonly string[];
  queue: string;
  /** How long each job takes: milliseconds. */
  workMs: number;
  /** Each is at home at an address of its own, and knows the others. Default 2. */
  workers?: number;
  /** Submitters, likewise. Default 1. */
  submitters?: number;
  /** How often a submit is tried in all. Default: the client's own policy. */
  triesMax?: number;
}

/** Submitters that never stop, and workers that do what they submit, both with the libraries' own means against errors in passing. */
export interface SteadyLoad {
  /** Jobs whose submit was answered, in the order of the answers. */
  readonly accepted: readonly string[];
  /** How often a handler began with a job, and how often it came to its end. */
  readonly begun: ReadonlyMap<string, number>;
  readonly done: ReadonlyMap<string, number>;
  /** Resolves once so many more jobs have been accepted, and so many done, as now. */
  more(jobs: number): Promise<void>;
  /** No more is submitted. Resolves to what was accepted; rejects when a submit failed although it was tried again. */
  stopSubmitting(): Promise<readonly string[]>;
  /** Ends the workers too, in peace. */
  stop(): Promise<void>;
}

export function startSteadyLoad({ addresses, queue, workMs, workers = 2, submitters = 1, triesMax }: SteadyLoadOptions): SteadyLoad {
  const accepted: string[] = [];
  const begun = new Map<string, number>();
  const done = new Map<string, number>();
  const from = (index: number) => addresses.map((_, place) => addresses[(index + place) % addresses.length]!);
  const running = Array.from({ length: workers }, (_, index) => {
    const worker = new Worker({
      addresses: from(index), queues: [queue], concurrency: 5, window: { jobs: 20 }, handleSignals: false, drainDeadlineMs: 5_000,
      logger: new KeptLog(), workerId: `steady ${index}`,
      handlers: {
        work: async ({ id }) => {
          begun.set(id, (begun.get(id) ?? 0) + 1);
          await delay(workMs);
          done.set(id, (done.get(id) ?? 0) + 1);
        },
      },
    });
    const end = worker.run();
    end.catch(() => undefined);
    return { worker, end };
  });
  let going = true;
  const submitting = Promise.all(Array.from({ length: submitters }, async (_, index) => {
    const client = new JobClient({ addresses: from(index), ...(triesMax === undefined ? {} : { triesMax }) });
    try {
      while (going) {
        if (accepted.length - done.size > AHEAD_JOBS_MAX) {
          await delay(PAUSE_MS);
          continue;
        }
        const jobs = Array.from({ length: SUBMIT_JOBS }, () => ({ id: newJobId(), queue, type: 'work' }));
        await client.submitMany(jobs);
        accepted.push(...jobs.map(({ id }) => id));
      }
    } finally {
      client.close();
    }
  }));
  submitting.catch(() => undefined);
  const stopSubmitting = async (): Promise<readonly string[]> => {
    going = false;
    await submitting;
    return accepted;
  };
  return {
    accepted,
    begun,
    done,
    more: async (jobs) => {
      const before = { accepted: accepted.length, done: done.size };
      // A submitter that has failed would be waited for in vain: its error says more.
      await Promise.race([
        waitFor(() => accepted.length >= before.accepted + jobs && done.size >= before.done + jobs, { deadlineMs: DEADLINE_MS, what: `${jobs} more jobs` }),
        submitting,
      ]);
    },
    stopSubmitting,
    stop: async () => {
      await stopSubmitting().catch(() => undefined);
      await Promise.all(running.map(async ({ worker, end }) => {
        await worker.stop();
        await end;
      }));
    },
  };
}
