import { readFile, readlink } from 'node:fs/promises';
import { run } from './run.ts';

/**
 * A text that names one process for as long as the machine runs, or undefined when no such process lives.
 *
 * A pid alone names nothing: a killed coordinator's pid is given out again, in containers nearly always to the
 * next coordinator. The time of its start tells the two apart. A zombie counts as gone.
 */
export async function processIdentity(pid: number): Promise<string | undefined> {
  if (process.platform === 'linux') {
    const stat = await readFile(`/proc/${pid}/stat`, 'utf8').catch(() => undefined);
    if (stat === undefined) return undefined;
    // The second field is the program's name in parentheses and may hold anything, also spaces and parentheses.
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
    const state = fields[0];
    const startedTicks = fields[19];
    if (state === 'Z' || state === 'X') return undefined;
    const bootId = await readFile('/proc/sys/kernel/random/boot_id', 'utf8').catch(() => '');
    return `${pid}:${startedTicks}:${bootId.trim()}`;
  }
  const started = await run('ps', ['-o', 'lstart=', '-p', String(pid)]).catch(() => undefined);
  const text = started?.trim();
  return text ? `${pid}:${text}` : undefined;
}

/** The command line of a live process, its words joined by spaces; undefined when it is gone or hidden from us. */
export async function processCommandLine(pid: number): Promise<string | undefined> {
  if (process.platform === 'linux') {
    const line = await readFile(`/proc/${pid}/cmdline`, 'utf8').catch(() => undefined);
    return line?.replaceAll('\0', ' ').trim() || undefined;
  }
  const listed = await run('ps', ['-ww', '-o', 'command=', '-p', String(pid)]).catch(() => undefined);
  return listed?.trim() || undefined;
}

/** The folder that a live process is in; undefined when it is gone, hidden from us, or the system does not tell. */
export async function processFolder(pid: number): Promise<string | undefined> {
  if (process.platform !== 'linux') return undefined;
  return readlink(`/proc/${pid}/cwd`).catch(() => undefined);
}
