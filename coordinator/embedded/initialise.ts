import { randomUUID } from 'node:crypto';
import { chown, mkdir, readdir, rename, rm, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { spawnOptionsFor, type Account } from './account.ts';
import type { Binaries } from './binaries.ts';
import { EmbeddedPostgresError } from './errors.ts';
import { run, RunError } from './run.ts';

/** The role that owns everything in the embedded server. */
export const ROLE = 'skiplease';

const DRAFT_PREFIX = 'initdb-';

/** initdb takes about a second; on a slow disk, with its sync, perhaps ten. */
const INITDB_DEADLINE_MS = 120_000;

/** True when a finished cluster is there: a half-finished one never has this name. */
export async function isInitialised(postgresFolder: string): Promise<boolean> {
  return stat(join(postgresFolder, 'PG_VERSION')).then(() => true, () => false);
}

/** What a new cluster is made from. */
export interface Initialisation {
  /** The folder that the draft is made in; on one file system with postgresFolder. */
  home: string;
  postgresFolder: string;
  password: string;
  binaries: Binaries;
  account: Account | undefined;
  /** False leaves out the final sync to disk, for servers that do not care (fsync off). */
  synced: boolean;
}

/**
 * Makes the cluster in a draft folder beside its place and moves it there when it is complete and on disk. So a
 * cluster that was killed half-way (the power cut, kill -9) is a draft, and is thrown away by the next start.
 */
export async function initialise(initialisation: Initialisation): Promise<void> {
  const { home, postgresFolder, password, binaries, account, synced } = initialisation;
  await removeDrafts(home);
  const draft = join(home, `${DRAFT_PREFIX}${randomUUID()}`);
  const passwordFile = join(draft, 'password');
  const cluster = join(draft, 'cluster');
  await mkdir(draft, { mode: 0o700 });
  await writeFile(passwordFile, `${password}\n`, { mode: 0o600, flag: 'wx' });
  if (account !== undefined) {
    // The folder last: once it is theirs, we write nothing in it any more.
    await chown(passwordFile, account.userId >>> 0, account.groupId >>> 0);
    await chown(draft, account.userId >>> 0, account.groupId >>> 0);
  }
  const options = [
    `--pgdata=${cluster}`,
    `--username=${ROLE}`,
    `--pwfile=${passwordFile}`,
    '--auth=scram-sha-256',
    '--encoding=UTF8',
    '--locale=C',
    ...(synced ? [] : ['--no-sync']),
  ];
  try {
    await run(join(binaries.folder, 'initdb'), options, { ...spawnOptionsFor(account), deadlineMs: INITDB_DEADLINE_MS });
    await rename(cluster, postgresFolder);
  } catch (error) {
    throw new EmbeddedPostgresError(
      'INITIALISE_FAILED',
      `initdb could not make a database in ${home}: ${(error instanceof RunError && error.stderr) || (error as Error).message}`,
      error,
    );
  } finally {
    await rm(draft, { recursive: true, force: true });
  }
}

async function removeDrafts(home: string): Promise<void> {
  for (const name of await readdir(home)) {
    if (name.startsWith(DRAFT_PREFIX)) await rm(join(home, name), { recursive: true, force: true, maxRetries: 5 });
  }
}
