/**
 * Keeps what a test run shares, and clears up after it: `keeper.ts RUN_FOLDER OWNER_PID OWNER_IDENTITY`.
 *
 * A process of its own, because nothing inside a test run is sure to see its end: a crash, a kill -9 or a Ctrl-C of
 * the run must leave neither a server nor a folder behind. If even the keeper is killed, the next run's clears up.
 */
import { readdir, readFile, rename, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { processIdentity } from '../../coordinator/embedded/process_identity.ts';
import { clearRunFolder } from './clear_run_folder.ts';
import { RUN_FOLDER_PREFIX } from './run_folder.ts';
import { dropRunDatabases, startRunServer } from './run_server.ts';

const LOOK_INTERVAL_MS = 100;

/** A folder without an owner's name is one that was being made; only a run that died right then leaves it so. */
const NAMELESS_AGE_MS_MAX = 60_000;

const [runFolder, ownerPid, ownerIdentity] = process.argv.slice(2);
if (runFolder === undefined || ownerPid === undefined || ownerIdentity === undefined) {
  throw new Error('usage: keeper.ts RUN_FOLDER OWNER_PID OWNER_IDENTITY');
}

await writeFile(join(runFolder, 'keeper.pid'), String(process.pid));
await writeFile(join(runFolder, 'owner'), ownerIdentity);
await clearEarlierRuns();
const serverUrl = await startServer(runFolder);
while ((await processIdentity(Number(ownerPid))) === ownerIdentity) await delay(LOOK_INTERVAL_MS);
// Databases on a server of our own go with it.
if (serverUrl !== undefined && process.env.SKIPLEASE_TEST_DATABASE_URL) await dropRunDatabases(serverUrl, runFolder);
await clearRunFolder(runFolder);

async function startServer(folder: string): Promise<string | undefined> {
  try {
    const url = await startRunServer(folder);
    await announce('server_url', url);
    return url;
  } catch (error) {
    await announce('failed', String((error as Error).stack ?? error));
    return undefined;
  }
}

/** Written beside and moved into place: who waits for the file never reads half of it. */
async function announce(name: string, text: string): Promise<void> {
  await writeFile(join(runFolder!, `${name}.draft`), text, { mode: 0o600 });
  await rename(join(runFolder!, `${name}.draft`), join(runFolder!, name));
}

async function clearEarlierRuns(): Promise<void> {
  for (const name of await readdir(tmpdir())) {
    const folder = join(tmpdir(), name);
    if (!name.startsWith(RUN_FOLDER_PREFIX) || folder === runFolder) continue;
    const owner = await readFile(join(folder, 'owner'), 'utf8').catch(() => undefined);
    const pid = Number(name.slice(RUN_FOLDER_PREFIX.length).split('-')[0]);
    if (owner !== undefined && (await processIdentity(pid)) === owner) continue;
    const age = Date.now() - ((await stat(folder).catch(() => undefined))?.mtimeMs ?? Date.now());
    if (owner === undefined && age < NAMELESS_AGE_MS_MAX) continue;
    // Its own keeper may be at it right now: both only ever stop and remove.
    await clearRunFolder(folder).catch((error: unknown) => console.error(`${folder} stays: ${String(error)}`));
    await rm(folder, { recursive: true, force: true });
  }
}
