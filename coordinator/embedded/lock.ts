import { randomUUID } from 'node:crypto';
import { link, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { EmbeddedPostgresError } from './errors.ts';
import { processIdentity } from './process_identity.ts';

const LOCK_FILE = 'coordinator.lock';

/** Two starters that both find a dead owner's lock meet again on the next round; more than a few rounds is a fault. */
const ROUNDS_MAX = 20;

interface Owner {
  pid: number;
  identity: string;
}

/**
 * Makes this process the only owner of a data folder, until the returned function is called or the process dies.
 *
 * The owner is written down with its pid and the time of its start, so that a lock left behind by a killed
 * coordinator is known as stale at once. Two servers on one data folder stay impossible even if this lock were
 * deleted by hand: PostgreSQL's own postmaster.pid sees to that. This lock is there so that a second coordinator
 * says what is wrong, and does not adopt, and later stop, the first one's server.
 */
export async function lockDataFolder(dataFolder: string): Promise<() => Promise<void>> {
  const lockFile = join(dataFolder, LOCK_FILE);
  const identity = await processIdentity(process.pid);
  if (identity === undefined) throw new EmbeddedPostgresError('START_FAILED', 'This process cannot see itself.');
  const mine: Owner = { pid: process.pid, identity };
  const draft = join(dataFolder, `.${LOCK_FILE}.${randomUUID()}`);
  await writeFile(draft, `${JSON.stringify(mine)}\n`, { mode: 0o644, flag: 'wx' });
  try {
    for (let round = 0; round < ROUNDS_MAX; round += 1) {
      if (await linked(draft, lockFile)) {
        return () => rm(lockFile, { force: true });
      }
      await removeIfStale(lockFile, dataFolder);
    }
    throw new EmbeddedPostgresError('DATA_FOLDER_IN_USE', `The lock ${lockFile} changes hands all the time.`);
  } finally {
    await rm(draft, { force: true });
  }
}

/** link() is the one step that both writes the whole owner and fails when there is a lock already. */
async function linked(draft: string, lockFile: string): Promise<boolean> {
  try {
    await link(draft, lockFile);
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EEXIST') return false;
    throw error;
  }
}

async function removeIfStale(lockFile: string, dataFolder: string): Promise<void> {
  const owner = await readOwner(lockFile);
  if (owner !== undefined && (await processIdentity(owner.pid)) === owner.identity) {
    throw new EmbeddedPostgresError(
      'DATA_FOLDER_IN_USE',
      `The data folder ${dataFolder} is in use by the coordinator with pid ${owner.pid}. ` +
        'Stop that one first, or choose another folder with SKIPLEASE_DATA_DIR, or set DATABASE_URL.',
    );
  }
  // Another starter may have replaced the stale lock since we read it: what we move away is looked at once more,
  // and put back if it is somebody's live lock.
  const moved = join(dataFolder, `.${LOCK_FILE}.stale.${randomUUID()}`);
  try {
    await rename(lockFile, moved);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return;
    throw error;
  }
  const movedOwner = await readOwner(moved);
  if (movedOwner !== undefined && (await processIdentity(movedOwner.pid)) === movedOwner.identity) {
    await linked(moved, lockFile);
  }
  await rm(moved, { force: true });
}

/** Undefined when there is no lock, or one that no coordinator wrote. */
async function readOwner(lockFile: string): Promise<Owner | undefined> {
  const text = await readFile(lockFile, 'utf8').catch(() => undefined);
  if (text === undefined) return undefined;
  try {
    const parsed = JSON.parse(text) as Partial<Owner>;
    if (typeof parsed.pid !== 'number' || typeof parsed.identity !== 'string') return undefined;
    return { pid: parsed.pid, identity: parsed.identity };
  } catch {
    return undefined;
  }
}
