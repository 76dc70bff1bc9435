import { spawn, type ChildProcess, type SpawnOptions } from 'node:child_process';
import { once } from 'node:events';
import { rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { processIdentity } from '../../coordinator/embedded/process_identity.ts';
import { testRunFolder } from './run_folder.ts';
import { within } from './wait.ts';

/** The last lines that are kept of what a process prints. */
const LOG_LINES_MAX = 5_000;

/** A process that a test started, and that the run's keeper kills if the test does not end it. */
export interface TestProcess {
  pid: number;
  /** The last lines of standard output and standard error, as they came. */
  logs: string[];
  /** Its exit code, or 128 and the signal's number as a shell tells it, once it has ended. */
  exited: Promise<number>;
  kill(signal: NodeJS.Signals): void;
  /** SIGTERM, then SIGKILL past the deadline, which fails: whoever calls this expects a clean end. */
  stop(deadlineMs?: number): Promise<number>;
  /** The first line, past or to come, that a condition holds for. */
  line(matches: (line: string) => boolean, deadlineMs: number, what: string): Promise<string>;
  /** Calls with each line to come. */
  watch(each: (line: string) => void): void;
}

const SIGNAL_NUMBERS: Partial<Record<NodeJS.Signals, number>> = { SIGINT: 2, SIGKILL: 9, SIGTERM: 15 };

/** What this file of tests has started and what still runs. */
const alive = new Map<ChildProcess, Promise<number>>();

/** Kills what a failed test has left behind: its file could not end otherwise. For files whose tests run one by one. */
export async function killLeftProcesses(): Promise<void> {
  for (const child of alive.keys()) child.kill('SIGKILL');
  await Promise.all(alive.values());
}

/** Runs a TypeScript file of the project with the Node that runs the tests. */
export function startScript(file: string, parameters: readonly string[], environment: Record<string, string>): Promise<TestProcess> {
  return startProcess(process.execPath, [file, ...parameters], { env: { ...process.env, ...environment } });
}

/** Starts any program. */
export async function startProcess(command: string, parameters: readonly string[], options: SpawnOptions): Promise<TestProcess> {
  const child = spawn(command, parameters, { ...options, stdio: ['ignore', 'pipe', 'pipe'] });
  const logs: string[] = [];
  const watchers = new Set<(line: string) => void>();
  for (const stream of [child.stdout, child.stderr]) {
    readLines(stream, (line) => {
      logs.push(line);
      if (logs.length > LOG_LINES_MAX) logs.shift();
      for (const watch of watchers) watch(line);
    });
  }
  const exited = waitForExit(child);
  alive.set(child, exited);
  await once(child, 'spawn');
  const pid = child.pid!;
  const record = join(await testRunFolder(), 'processes', String(pid));
  await writeFile(record, (await processIdentity(pid)) ?? '');
  void exited.then(() => {
    alive.delete(child);
    return rm(record, { force: true });
  });

  return {
    pid,
    logs,
    exited,
    kill: (signal) => void child.kill(signal),
    stop: async (deadlineMs = 15_000) => {
      child.kill('SIGTERM');
      try {
        return await within(exited, deadlineMs, `the end of process ${pid}`);
      } catch (error) {
        child.kill('SIGKILL');
        await exited;
        throw new Error(`${(error as Error).message}\n${logs.slice(-20).join('\n')}`, { cause: error });
      }
    },
    line: (matches, deadlineMs, what) => {
      const found = new Promise<string>((resolve, reject) => {
        const past = logs.find(matches);
        if (past !== undefined) return resolve(past);
        watchers.add((line) => matches(line) && resolve(line));
        void exited.then((code) => reject(new Error(`The process ended (${code}) before ${what}:\n${logs.slice(-40).join('\n')}`)));
      });
      return within(found, deadlineMs, what);
    },
    watch: (each) => void watchers.add(each),
  };
}

function waitForExit(child: ChildProcess): Promise<number> {
  return new Promise((resolve, reject) => {
    child.once('error', reject);
    // 'close' and not 'exit': by then all that it printed has been read.
    child.once('close', (code, signal) => resolve(code ?? 128 + (SIGNAL_NUMBERS[signal!] ?? 0)));
  });
}

function readLines(stream: NodeJS.ReadableStream, each: (line: string) => void): void {
  let rest = '';
  stream.setEncoding('utf8');
  stream.on('data', (chunk: string) => {
    const lines = (rest + chunk).split('\n');
    rest = lines.pop()!;
    lines.forEach(each);
  });
  stream.on('end', () => rest !== '' && each(rest));
}
