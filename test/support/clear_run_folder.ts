import { readdir, readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { findLivePostmaster } from '../../coordinator/embedded/postmaster_file.ts';
import { processIdentity } from '../../coordinator/embedded/process_identity.ts';
import { stopServer } from '../../coordinator/embedded/server.ts';
import { keepCrashes } from './postgres_crashes.ts';

/** Stops every process and server that was started under a run's folder, then removes the folder. */
export async function clearRunFolder(runFolder: string): Promise<void> {
  await killProcesses(join(runFolder, 'processes'));
  const servers = join(runFolder, 'servers');
  for (const name of await readdir(servers).catch(() => [])) {
    const postgresFolder = join(servers, name, 'postgres');
    const running = await findLivePostmaster(postgresFolder);
    if (running !== undefined) {
      // At once, with no checkpoint: nobody will want this data.
      process.kill(running.pid, 'SIGQUIT');
      await stopServer(running.pid, postgresFolder);
    }
    await keepCrashes(join(servers, name, 'postgres.log'));
  }
  await rm(runFolder, { recursive: true, force: true, maxRetries: 10 });
}

/** Each file is named by a pid and holds that process's identity, so that no stranger with the same pid is hit. */
async function killProcesses(folder: string): Promise<void> {
  for (const name of await readdir(folder).catch(() => [])) {
    const identity = await readFile(join(folder, name), 'utf8').catch(() => '');
    if (identity !== '' && (await processIdentity(Number(name))) === identity) {
      try {
        process.kill(Number(name), 'SIGKILL');
      } catch {
        // It ended by itself in between.
      }
    }
  }
}
