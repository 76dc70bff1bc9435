/** One process that the demo runs: its log goes to a file, its JSON lines can be waited for. */
import { spawn } from 'node:child_process';
import { createWriteStream } from 'node:fs';
import { createInterface } from 'node:readline';

/** How long a process may take to end after SIGTERM before it is killed. */
const stopDeadlineMs = 15_000;

/** Says which process of the demo did not do its part, with the end of its log. */
export class ChildError extends Error {}

export interface Child {
  name: string;
  pid: number;
  /** Its exit code, or the signal that ended it. */
  exited: Promise<number | string>;
  /** The fields of the first log line with this event. Throws ChildError when the process ends first, or past the deadline. */
  event(name: string, deadlineMs: number): Promise<Record<string, string>>;
  /** Throws ChildError when it has ended. */
  checkAlive(): void;
  signal(signal: NodeJS.Signals): void;
  /** SIGTERM, and SIGKILL past a deadline; resolves when it has ended. */
  stop(): Promise<void>;
}

const logTailLines = 15;

/** What a line says to people: the message of a JSON log line, else the line. */
function messageOf(line: string): string {
  try {
    return (JSON.parse(line) as { msg?: string }).msg ?? line;
  } catch {
    return line;
  }
}

/** Starts a script of the project with this very Node, in a process group of its own: Ctrl-C reaches the demo alone, which then ends it in order. */
export function startChild(name: string, script: string, environment: Record<string, string>, logFile: string): Child {
  const child = spawn(process.execPath, [script], {
    env: { ...process.env, ...environment },
    stdio: ['ignore', 'pipe', 'pipe'],
    detached: true,
  });
  const log = createWriteStream(logFile);
  const tail: string[] = [];
  const seen = new Map<string, Record<string, string>>();
  const waiting = new Map<string, (fields: Record<string, string>) => void>();
  const onLine = (line: string): void => {
    log.write(`${line}\n`);
    tail.push(line);
    if (tail.length > logTailLines) tail.shift();
    if (!line.startsWith('{') || !line.includes('"event"')) return;
    try {
      const fields = JSON.parse(line) as Record<string, string>;
      const event = fields['event']!;
      if (seen.has(event)) return;
      seen.set(event, fields);
      waiting.get(event)?.(fields);
    } catch { /* not a log line */ }
  };
  for (const stream of [child.stdout, child.stderr]) createInterface({ input: stream }).on('line', onLine);
  let ended: number | string | undefined;
  const exited = new Promise<number | string>((resolve) => {
    const end = (how: number | string): void => {
      ended ??= how;
      resolve(how);
    };
    child.once('error', (error) => end(error.message));
    child.once('close', (code, signal) => {
      log.end();
      end(code ?? signal ?? 'unknown');
    });
  });
  const failure = (what: string): ChildError =>
    new ChildError(`${name} ${what}. Its log is ${logFile} and ends with:\n${tail.map((line) => `    ${messageOf(line)}`).join('\n')}`);

  return {
    name,
    pid: child.pid ?? 0,
    exited,
    event: async (event, deadlineMs) => {
      const found = seen.get(event);
      if (found !== undefined) return found;
      let timer: NodeJS.Timeout | undefined;
      const late = new Promise<string>((resolve) => {
        timer = setTimeout(() => resolve(`did not say "${event}" within ${deadlineMs / 1000} s`), deadlineMs);
      });
      const came = new Promise<Record<string, string>>((resolve) => waiting.set(event, resolve));
      const gone = exited.then((how) => `ended (${how})`);
      const outcome = await Promise.race([came, late, gone]).finally(() => clearTimeout(timer));
      if (typeof outcome !== 'string') return outcome;
      throw failure(outcome);
    },
    checkAlive: () => {
      if (ended !== undefined) throw failure(`has ended (${ended})`);
    },
    signal: (signal) => void child.kill(signal),
    stop: async () => {
      if (ended !== undefined) return;
      child.kill('SIGTERM');
      const killer = setTimeout(() => child.kill('SIGKILL'), stopDeadlineMs);
      await exited;
      clearTimeout(killer);
    },
  };
}
