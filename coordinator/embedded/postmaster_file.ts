import { readFile, rm } from 'node:fs/promises';
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
 * A file that names a process which is surely something else is removed: PostgreSQL takes any live process of its own
 * user for a server and would refuse to start. Where there is doubt the file stays, for it is what keeps two servers
 * from one folder.
 */
export async function findLivePostmaster(postgresFolder: string): Promise<Postmaster | undefined> {
  const named = await readPostmasterFile(postgresFolder);
  if (named === undefined) return undefined;
  const commandLine = await processCommandLine(named.pid);
  if (commandLine === undefined) return undefined;
  const folder = await processFolder(named.pid);
  const isPostgres = /(^|\/)postgres:? /.test(commandLine);
  if (isPostgres && (folder === postgresFolder || commandLine.includes(`postgres -D ${postgresFolder} `))) return named;
  if (!isPostgres || folder !== undefined) await rm(join(postgresFolder, 'postmaster.pid'), { force: true });
  return undefined;
}
