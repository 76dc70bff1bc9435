import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { randomUUID } from 'node:crypto';
import { startScript, type TestProcess } from './processes.ts';
import { testRunFolder } from './run_folder.ts';

const SCRIPT = new URL('./lease_worker.ts', import.meta.url).pathname;

export interface WorkerProcessOptions {
  addresses: string[];
  queue: string;
  workerId: string;
  effectsFile: string;
  concurrency: number;
  windowJobs: number;
  /** How long each job takes: milliseconds. */
  workMs: number;
}

/** One line of the effects file: a handler began or ended. */
export interface Effect {
  jobId: string;
  attempt: number;
  workerId: string;
  moment: 'begun' | 'done';
}

/** Starts a worker in a process of its own, whose handler (type `work`) logs what it does to a file. */
export function startWorkerProcess(options: WorkerProcessOptions): Promise<TestProcess> {
  return startScript(SCRIPT, [JSON.stringify(options)], {});
}

/** An empty file for the effects of workers, in the folder of the test run. */
export async function makeEffectsFile(): Promise<string> {
  const path = join(await testRunFolder(), `effects-${randomUUID()}`);
  await writeFile(path, '');
  return path;
}

/** What the workers did, in order. */
export async function readEffects(path: string): Promise<Effect[]> {
  const lines = (await readFile(path, 'utf8')).split('\n').filter((line) => line !== '');
  return lines.map((line) => {
    const [jobId, attempt, workerId, moment] = line.split(' ');
    return { jobId: jobId!, attempt: Number(attempt), workerId: workerId!, moment: moment as Effect['moment'] };
  });
}
