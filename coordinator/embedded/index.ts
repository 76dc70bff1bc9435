import { join } from 'node:path';
import { accountForServer, type Account } from './account.ts';
import { adoptRunningServer } from './adopt.ts';
import { findBinaries, type Binaries } from './binaries.ts';
import { connectionUrl, connectionUrlFile, makePassword, readConnectionUrl, writeConnectionUrl } from './connection_url.ts';
import { openDatabase } from './database.ts';
import { initialise, isInitialised } from './initialise.ts';
import { launchOnPort } from './launch_on_port.ts';
import { lockDataFolder } from './lock.ts';
import type { EmbeddedPostgres, EmbeddedPostgresOptions } from './options.ts';
import { resetPassword } from './password.ts';
import { makeDataFolder, reachableHome } from './places.ts';
import { stopServer } from './server.ts';
import { DEFAULT_SETTINGS, settingArguments } from './settings.ts';
import { watchServer } from './watch.ts';

export { EmbeddedPostgresError, type EmbeddedPostgresErrorCode } from './errors.ts';
export type { EmbeddedPostgres, EmbeddedPostgresLog, EmbeddedPostgresOptions } from './options.ts';

/**
 * Starts, or takes over, the PostgreSQL server of a data folder, and owns that folder until stop(). Throws an
 * EmbeddedPostgresError whose message says what to do.
 *
 * To be interrupted (Ctrl-C) is harmless at any moment: await this, then call stop(). To be killed is, too: the next
 * start takes over the server, or throws away the half-made database.
 */
export async function startEmbeddedPostgres(options: EmbeddedPostgresOptions): Promise<EmbeddedPostgres> {
  const dataFolder = await makeDataFolder(options.dataFolder);
  const unlock = await lockDataFolder(dataFolder);
  try {
    const account = await accountForServer(join(dataFolder, 'postgres'));
    const home = await reachableHome(dataFolder, account);
    if (home !== dataFolder) {
      options.log?.info(
        { data_folder: dataFolder, database_folder: home },
        'the user that runs PostgreSQL cannot reach the data folder, so the database is kept in database_folder',
      );
    }
    const binaries = await findBinaries(account, home, options.binariesFolder);
    return await startIn({ dataFolder, home, account, binaries, options, unlock });
  } catch (error) {
    await unlock();
    throw error;
  }
}

interface Surroundings {
  dataFolder: string;
  home: string;
  account: Account | undefined;
  binaries: Binaries;
  options: EmbeddedPostgresOptions;
  unlock: () => Promise<void>;
}

async function startIn(surroundings: Surroundings): Promise<EmbeddedPostgres> {
  const { dataFolder, home, account, binaries, options, unlock } = surroundings;
  const postgresFolder = join(home, 'postgres');
  const settings = { ...DEFAULT_SETTINGS, ...options.settings };
  const launchOptions = { binaries, account, postgresFolder, logFile: join(home, 'postgres.log'), settings };

  const known = await readConnectionUrl(dataFolder);
  const password = known?.password ?? makePassword();
  const wasInitialised = await isInitialised(postgresFolder);
  if (!wasInitialised) {
    options.log?.info({ database_folder: home, version: binaries.version }, 'making a new database');
    await initialise({ home, postgresFolder, password, binaries, account, synced: settings.fsync !== 'off' });
  }
  const adopted = wasInitialised
    ? await adoptRunningServer(postgresFolder, known?.password, options.port, settingArguments(settings))
    : undefined;
  if (wasInitialised && known === undefined) await resetPassword(postgresFolder, password, binaries, account);

  let running = adopted ?? (await launchOnPort(launchOptions, options.port, known?.port));
  if (!(await openDatabase(password, running.port))) {
    await stopServer(running.pid, postgresFolder);
    await resetPassword(postgresFolder, password, binaries, account);
    running = await launchOnPort(launchOptions, options.port, running.port);
    await openDatabase(password, running.port);
  }
  const { port } = running;
  const url = connectionUrl(password, port);
  await writeConnectionUrl(dataFolder, url);
  const launchAgain = async (): Promise<number> => (await launchOnPort(launchOptions, port, port)).pid;
  const watched =
    options.restart === false
      ? { pid: () => running.pid, stop: () => stopServer(running.pid, postgresFolder) }
      : watchServer(running.pid, postgresFolder, launchAgain, options.log);
  let stopping: Promise<void> | undefined;
  return {
    url,
    urlFile: connectionUrlFile(dataFolder),
    port,
    get pid() {
      return watched.pid();
    },
    dataFolder,
    postgresFolder,
    version: binaries.version,
    adopted: adopted !== undefined,
    stop: () => (stopping ??= watched.stop().finally(unlock)),
  };
}
