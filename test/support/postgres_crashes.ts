import { appendFile, mkdir, readFile } from 'node:fs/promises';
import { dirname } from 'node:path';
import { fileURLToPath } from 'node:url';

/** Where runs leave what became of their servers; nothing there: none crashed by itself. `.ci/run` looks. */
const CRASHES_FILE = fileURLToPath(new URL('../../node_modules/.cache/postgres_crashes.log', import.meta.url));

/** Signals of a program at fault: SIGILL, SIGTRAP, SIGABRT, SIGBUS, SIGFPE, SIGSEGV. Tests send others. */
const CRASH = /was terminated by signal (?:4|5|6|7|8|11)\b/;

/** Keeps what the log of a test's server says of its own crashes, with the statement that it was at. */
export async function keepCrashes(logFile: string): Promise<void> {
  const lines = (await readFile(logFile, 'utf8').catch(() => '')).split('\n');
  const said = lines.flatMap((line, at) => (CRASH.test(line) ? [line, ...detailAfter(lines, at)] : []));
  if (said.length > 0) {
    await mkdir(dirname(CRASHES_FILE), { recursive: true });
    await appendFile(CRASHES_FILE, `${said.join('\n')}\n`);
  }
}

/** The line that says what it was doing, and those that go on with the statement: they begin with a tab. */
function detailAfter(lines: readonly string[], at: number): string[] {
  const end = lines.findIndex((line, index) => index > at + 1 && !line.startsWith('\t'));
  return lines.slice(at + 1, end === -1 ? undefined : end);
}
