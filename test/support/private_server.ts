import { randomUUID } from 'node:crypto';
import { join } from 'node:path';
import { startEmbeddedPostgres, type EmbeddedPostgres } from '../../coordinator/embedded/index.ts';
import { testRunFolder } from './run_folder.ts';
import { FAST_SETTINGS } from './run_server.ts';

export interface PrivateServerOptions {
  /** True leaves PostgreSQL's durability as it is by default; false (the default) does not wait for the disk. */
  durable?: boolean;
  settings?: Readonly<Record<string, string>>;
  binariesFolder?: string;
  /** A folder from makeServerFolder(), to start the same server again. */
  dataFolder?: string;
  port?: number;
}

/**
 * A PostgreSQL server for one test alone, which may stop, kill or starve it. Empty: run migrate(url) where needed.
 * The run's keeper stops it if the test does not.
 */
export async function startPrivateServer(options: PrivateServerOptions = {}): Promise<EmbeddedPostgres> {
  const binariesFolder = options.binariesFolder ?? process.env.SKIPLEASE_TEST_POSTGRES_BINARIES;
  return startEmbeddedPostgres({
    dataFolder: options.dataFolder ?? (await makeServerFolder()),
    // A server that a test has killed stays dead.
    restart: false,
    settings: { ...(options.durable ? {} : FAST_SETTINGS), ...options.settings },
    ...(options.port === undefined ? {} : { port: options.port }),
    ...(binariesFolder ? { binariesFolder } : {}),
  });
}

/** The path of a server's data folder that the run's keeper watches over. */
export async function makeServerFolder(): Promise<string> {
  return join(await testRunFolder(), 'servers', randomUUID());
}
