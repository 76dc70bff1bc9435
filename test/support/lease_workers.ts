import { randomUUID } from 'node:crypto';
import { appendFileSync } from 'node:fs';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { Worker, type Logger } from '../../worker/index.ts';
import { startScript, type TestProcess } from './processes.ts';
import { testRunFolder } from './run_folder.ts';

const SCRIPT = new URL('./lease_worker.ts', import.meta.url).pathname;
const QUIET: Logger = { debug: () => undefined, info: () => undefined, warn: () => undefined, error: () => undefined };

/** A worker whose handler (of type `work`) logs what it does to a file, outside of every coordinator and database. */
export interface EffectWorkerOptions {
  addresses: string[];
  queue: string;
  workerId: string;
  effectsFile: string;
  concurrency: number;
  windowJobs: number;
  /** How long each job takes: milliseconds. */
  workMs: number;
  /** At stop. Default: the library's. */
  drainDeadlineMs?: number;
}

/** One line of the effects file: a handler began or ended. */
export interface Effect {
  jobId: string;
  attempt: number;
  workerId: string;
  moment: 'begun' | 'done';
  /** What the worker's wall clock said. */
  wallMs: number;
}

export function makeWorker(options: EffectWorkerOptions, { handleSignals, logger }: { handleSignals: boolean; logger: Logger }): Worker {
  const log = (jobId: string, attempt: number, moment: Effect['moment']): void =>
    appendFileSync(options.effectsFile, `${JSON.stringify({ jobId, attempt, workerId: options.workerId, moment, wallMs: Date.now() } satisfies Effect)}\n`);
  return new Worker({
    addresses: options.addresses,
    queues: [options.queue],
    concurrency: options.concurrency,
    window: { jobs: options.windowJobs },
    workerId: options.workerId,
    handleSignals,
    ...(options.drainDeadlineMs === undefined ? {} : { drainDeadlineMs: options.drainDeadlineMs }),
    logger,
    handlers: {
      work: async ({ id, attempt }) => {
        log(id, attempt, 'begun');
        await delay(options.workMs);
        log(id, attempt, 'done');
      },
    },
  });
}

/** A worker in a process of its own, to be killed or frozen. */
export function startWorkerProcess(options: EffectWorkerOptions, environment: Record<string, string> = {}): Promise<TestProcess> {
  return startScript(SCRIPT, [JSON.stringify(options)], environment);
}

/** A worker in this process, which is there at once. Resolves once it is drained and stopped. */
export function startWorkerHere(options: EffectWorkerOptions): { stop(): Promise<void> } {
  const worker = makeWorker(options, { handleSignals: false, logger: QUIET });
  const running = worker.run();
  running.catch(() => undefined);
  return {
    stop: async () => {
      await worker.stop();
      await running;
    },
  };
}

/** An empty file for the effects of workers, in the folder of the test run. */
export async function makeEffectsFile(): Promise<string> {
  const path = join(await testRunFolder(), `effects-${randomUUID()}`);
  await writeFile(path, '');
  return path;
}

/** What the workers did, in order. */
export async function readEffects(path: string): Promise<Effect[]> {
  return (await readFile(path, 'utf8')).split('\n').filter((line) => line !== '').map((line) => JSON.parse(line) as Effect);
}

/** How often a handler came to its end, by job. */
export function timesDone(effects: readonly Effect[]): Map<string, number> {
  const times = new Map<string, number>();
  for (const { jobId, moment } of effects) {
    if (moment === 'done') times.set(jobId, (times.get(jobId) ?? 0) + 1);
  }
  return times;
}
