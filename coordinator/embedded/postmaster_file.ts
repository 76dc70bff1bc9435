import { constants } from 'node:fs';
import { open, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { processCommandLine, processFolder } from './process_identity.ts';

/** What a server says of itself in its data folder's postmaster.pid. */
export interface Postmaster {
  pid: number;
  port: number;
  /** `starting`, `ready`, `standby` or `stopping`; empty in the first moments. */
  status: string;
}

/** The lines of postmaster.pid, counted from 0; PostgreSQL's miscadmin.h lists them. */
const PID_LINE = 0;
const PORT_LINE = 3;
const STATUS_LINE = 7;

/** A pid that no system gives out. */
const NOBODYS_PID = 2_147_483_647;

/** The server that the data folder names, whether it lives or not; undefined when it names none. */
export async function readPostmasterFile(postgresFolder: string): Promise<Postmaster | undefined> {
  const text = await readFile(join(postgresFolder, 'postmaster.pid'), 'utf8').catch(() => undefined);
  if (text === undefined) return undefined;
  const lines = text.split('\n');
  const pid = Number(lines[PID_LINE]);
  if (!Number.isInteger(pid) || pid <= 1) return undefined;
  return { pid, port: Number(lines[PORT_LINE] ?? 0), status: lines[STATUS_LINE]?.trim() ?? '' };
}

/**
 * The server that lives on this data folder. A pid in the file proves little, since pids are given out again: the
 * process must be a postgres on this very folder.
 *
 * PostgreSQL itself takes any live process of its own user, also a zombie, for a server, and refuses to start. So a
 * file that surely names something else is made to name nobody. It is not removed, since it also names the shared
 * memory by which a new server sees that children of a killed one still write to the folder.
 */
export async function findLivePostmaster(postgresFolder: string): Promise<Postmaster | undefined> {
  const named = await readPostmasterFile(postgresFolder);
  if (named === undefined) return undefined;
  const commandLine = await processCommandLine(named.pid);
  if (commandLine === undefined) {
    await nameNobody(postgresFolder, named.pid);
    return undefined;
  }
  const folder = await processFolder(named.pid);
  const isPostgres = /(^|\/)postgres:? /.test(commandLine);
  if (isPostgres && (folder === postgresFolder || commandLine.includes(`postgres -D ${postgresFolder} `))) return named;
  if (!isPostgres || folder !== undefined) await nameNobody(postgresFolder, named.pid);
  return undefined;
}

async function nameNobody(postgresFolder: string, pid: number): Promise<void> {
  const file = join(postgresFolder, 'postmaster.pid');
  const text = await readFile(file, 'utf8');
  const handle = await open(file, constants.O_WRONLY | constants.O_TRUNC | constants.O_NOFOLLOW);
  await handle.writeFile(text.replace(String(pid), String(NOBODYS_PID)));
  await handle.close();
}
