import { createHash } from 'node:crypto';
import { chmod, lstat, mkdir, readdir, readFile, realpath, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, resolve, sep } from 'node:path';
import { spawnOptionsFor, type Account } from './account.ts';
import { EmbeddedPostgresError } from './errors.ts';
import { findLivePostmaster } from './postmaster_file.ts';
import { run } from './run.ts';

/** Where root keeps what the server's account cannot reach otherwise. It survives a reboot, which /tmp does not. */
const SYSTEM_HOME = '/var/lib/skiplease';

/** Makes the data folder (owned by us) and answers its real path. */
export async function makeDataFolder(wanted: string): Promise<string> {
  try {
    await mkdir(resolve(wanted), { recursive: true });
    const folder = await realpath(wanted);
    if (process.getuid?.() === 0) {
      // Whoever runs the server must pass through; what is inside guards itself (0600 and 0700).
      await chmod(folder, ((await stat(folder)).mode & 0o777) | 0o711);
    }
    return folder;
  } catch (error) {
    throw new EmbeddedPostgresError(
      'DATA_FOLDER_UNUSABLE',
      `The data folder ${wanted} cannot be made or used (${(error as Error).message}). ` +
        'Choose another with SKIPLEASE_DATA_DIR, or set DATABASE_URL.',
      error,
    );
  }
}

/**
 * The folder whose children `account` can reach: the data folder itself, nearly always. A clone under root's home or
 * `mktemp -d` has a parent (0700) that no other account may pass; then a folder of root's own stands in for it, one
 * for each data folder, named by a hash of its path.
 */
export async function reachableHome(dataFolder: string, account: Account | undefined): Promise<string> {
  if (account === undefined || (await canEnter(dataFolder, account))) return dataFolder;
  const base = await reachableBase(dataFolder, account);
  if (base !== SYSTEM_HOME) await removeForsaken(base);
  const home = join(base, `data-${createHash('sha256').update(dataFolder).digest('hex').slice(0, 12)}`);
  await mkdir(home, { recursive: true });
  await chmod(home, 0o711);
  await writeFile(join(home, 'belongs_to'), `${dataFolder}\n`);
  await writeFile(join(dataFolder, 'database_is_in'), `${home}\n`);
  return home;
}

/** A database that belonged to a temporary folder is of no use once that folder is gone (a clone in `mktemp -d`). */
async function removeForsaken(base: string): Promise<void> {
  for (const name of await readdir(base)) {
    const home = join(base, name);
    const owner = await readFile(join(home, 'belongs_to'), 'utf8').catch(() => undefined);
    if (owner === undefined || (await exists(owner.trim()))) continue;
    if ((await findLivePostmaster(join(home, 'postgres'))) !== undefined) continue;
    await rm(home, { recursive: true, force: true });
  }
}

function exists(path: string): Promise<boolean> {
  return lstat(path).then(() => true, () => false);
}

/**
 * A folder of root's own that `account` can pass through but not write to. What is wanted for a temporary folder
 * stays temporary; all else goes where a reboot and the cleaning of /tmp leave it alone.
 */
export async function reachableBase(near: string, account: Account): Promise<string> {
  const temporary = join(await realpath(tmpdir()), 'skiplease-root');
  const isTemporary = near.startsWith(await realpath(tmpdir()).then((folder) => folder + sep));
  const refusals: string[] = [];
  for (const base of isTemporary ? [temporary] : [SYSTEM_HOME, temporary]) {
    try {
      await mkdir(base, { recursive: true });
      // Made by somebody else in a folder that all may write to, it could be swapped under us.
      const found = await lstat(base);
      if (!found.isDirectory() || found.uid !== 0) throw new Error(`${base} does not belong to root`);
      await chmod(base, 0o755);
      if (await canEnter(base, account)) return base;
      throw new Error(`${base} cannot be entered by the user with id ${account.userId}`);
    } catch (error) {
      refusals.push((error as Error).message);
    }
  }
  throw new EmbeddedPostgresError(
    'DATA_FOLDER_UNUSABLE',
    `PostgreSQL does not run as root, and the user that runs it instead (id ${account.userId}) cannot reach ${near}; ` +
      `nor is there another place for it: ${refusals.join('; ')}. Set SKIPLEASE_DATA_DIR to a folder that ` +
      'every user can pass through, or set DATABASE_URL.',
  );
}

/** Asked of the kernel by trying, as that account: mode bits alone do not tell (ACLs, mounts, user namespaces). */
async function canEnter(folder: string, account: Account): Promise<boolean> {
  try {
    await run('/bin/sh', ['-c', 'cd -- "$1"', 'sh', folder], spawnOptionsFor(account));
    return true;
  } catch {
    return false;
  }
}
