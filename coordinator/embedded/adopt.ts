import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { findLivePostmaster } from './postmaster_file.ts';
import { openDatabase } from './database.ts';
import { stopServer, waitUntilReady } from './server.ts';

/** A server that an earlier coordinator left running. */
export interface Adopted {
  pid: number;
  port: number;
}

/**
 * Takes over the server that a killed coordinator left behind, so that whoever is connected to it stays connected.
 *
 * One that is not what this start asks for (another port, other settings, a password that we do not know) is stopped
 * instead, and undefined answered: the caller starts its own.
 */
export async function adoptRunningServer(
  postgresFolder: string,
  password: string | undefined,
  port: number | undefined,
  wantedArguments: readonly string[],
): Promise<Adopted | undefined> {
  const found = await findLivePostmaster(postgresFolder);
  if (found === undefined) return undefined;
  if (!(await waitUntilReady(found.pid, postgresFolder))) {
    await stopServer(found.pid, postgresFolder);
    return undefined;
  }
  const ready = await findLivePostmaster(postgresFolder);
  if (ready === undefined) return undefined;
  const fits =
    password !== undefined &&
    (port === undefined || port === ready.port) &&
    (await wasStartedWith(postgresFolder, wantedArguments)) &&
    (await openDatabase(password, ready.port));
  if (fits) return { pid: ready.pid, port: ready.port };
  await stopServer(ready.pid, postgresFolder);
  return undefined;
}

/** PostgreSQL writes the command line of its start, each word in double quotes, into postmaster.opts. */
async function wasStartedWith(postgresFolder: string, wantedArguments: readonly string[]): Promise<boolean> {
  const line = await readFile(join(postgresFolder, 'postmaster.opts'), 'utf8').catch(() => '');
  const words = new Set([...line.matchAll(/"([^"]*)"/g)].map((match) => match[1]));
  return wantedArguments.every((word) => words.has(word));
}
