import { spawn } from 'node:child_process';
import { constants } from 'node:fs';
import { open, readFile, rename, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { spawnOptionsFor, type Account } from './account.ts';
import type { Binaries } from './binaries.ts';
import { EmbeddedPostgresError } from './errors.ts';
import { readPostmasterFile } from './postmaster_file.ts';
import { LOOK_INTERVAL_MS, READY_DEADLINE_MS, stopServer } from './server.ts';
import { settingArguments } from './settings.ts';

/** Beyond this the log of earlier starts is set aside (and what was set aside before is dropped). */
const LOG_BYTES_MAX = 16 * 1024 * 1024;

/** What a server is started with. */
export interface Launch {
  binaries: Binaries;
  account: Account | undefined;
  postgresFolder: string;
  logFile: string;
  port: number;
  settings: Readonly<Record<string, string>>;
}

/** The port was taken, before our look or between it and the server's. */
export class PortTakenError extends Error {}

/** The children of a server that was killed have not noticed yet; they do within moments. */
export class RemainsError extends Error {}

/**
 * Starts a server and waits until it takes connections; its pid.
 *
 * It gets a session of its own, so that a Ctrl-C in the terminal reaches the coordinator alone, and writes to a file
 * rather than to a pipe of ours, so that it outlives us unharmed if we are killed: the next start adopts it.
 */
export async function launch(options: Launch): Promise<number> {
  const logStart = await setAsideLongLog(options.logFile);
  const { O_APPEND, O_CREAT, O_WRONLY, O_NOFOLLOW } = constants;
  const log = await open(options.logFile, O_APPEND | O_CREAT | O_WRONLY | O_NOFOLLOW, 0o640);
  let ended: string | undefined;
  let pid: number | undefined;
  try {
    const child = spawn(
      join(options.binaries.folder, 'postgres'),
      ['-D', options.postgresFolder, '-p', String(options.port), ...settingArguments(options.settings)],
      { ...spawnOptionsFor(options.account), detached: true, stdio: ['ignore', log.fd, log.fd] },
    );
    child.once('error', (error) => (ended = error.message));
    child.once('exit', (code, signal) => (ended = signal === null ? `exit code ${code}` : `signal ${signal}`));
    child.unref();
    pid = child.pid;
  } finally {
    await log.close();
  }
  const deadline = performance.now() + READY_DEADLINE_MS;
  while (performance.now() < deadline) {
    if (ended !== undefined) throw await startFailure(options, ended, logStart);
    const postmaster = await readPostmasterFile(options.postgresFolder);
    if (pid !== undefined && postmaster?.pid === pid && postmaster.status === 'ready') return pid;
    await delay(LOOK_INTERVAL_MS);
  }
  if (pid !== undefined) await stopServer(pid, options.postgresFolder);
  throw await startFailure(options, `not ready after ${READY_DEADLINE_MS} ms`, logStart);
}

/** The length of the log before this start, after a long one was set aside. */
async function setAsideLongLog(logFile: string): Promise<number> {
  const size = (await stat(logFile).catch(() => undefined))?.size ?? 0;
  if (size <= LOG_BYTES_MAX) return size;
  await rename(logFile, `${logFile}.1`);
  return 0;
}

/** What went wrong, from what the server wrote; its messages are in English, since it runs with LC_ALL=C. */
async function startFailure(options: Launch, ended: string, logStart: number): Promise<Error> {
  const log = await readFile(options.logFile).catch(() => Buffer.alloc(0));
  const said = log.subarray(logStart).toString('utf8').trim();
  if (said.includes('could not bind IPv4 address') && said.includes('Address already in use')) {
    return new PortTakenError(`Port ${options.port} on 127.0.0.1 is taken.`);
  }
  if (said.includes('pre-existing shared memory block')) return new RemainsError(said);
  const tail = said.split('\n').slice(-10).join('\n');
  return new EmbeddedPostgresError(
    'START_FAILED',
    `PostgreSQL did not start (${ended}). The end of ${options.logFile}:\n${tail}`,
  );
}
