import { basename, join } from 'node:path';
import pg from 'pg';
import { startEmbeddedPostgres } from '../../coordinator/embedded/index.ts';
import { migrate } from '../../coordinator/store/migrate.ts';

/**
 * The functional suite asks whether the code is right, not whether the disk is: its server does not wait for the
 * disk. Tests of crashes start a server of their own with these left as they are (private_server.ts).
 */
export const FAST_SETTINGS = {
  fsync: 'off',
  full_page_writes: 'off',
  max_connections: '400',
  // What the suite needs at most; several servers run beside each other.
  shared_buffers: '128MB',
};

/** The names of all databases of a run begin so, also on a server that other runs use. */
export function databasePrefix(runFolder: string): string {
  return `${basename(runFolder).replaceAll('-', '_')}_`;
}

/** The migrated database that every test file's own is copied from. */
export function templateName(runFolder: string): string {
  return `${databasePrefix(runFolder)}template`;
}

/** The URL of the same server's other database. */
export function urlOfDatabase(serverUrl: string, name: string): string {
  const url = new URL(serverUrl);
  url.pathname = `/${name}`;
  return url.href;
}

/**
 * Starts the run's PostgreSQL and makes the template in it. `SKIPLEASE_TEST_POSTGRES_BINARIES` names other binaries
 * than the package's (the suite on PostgreSQL 15); `SKIPLEASE_TEST_DATABASE_URL` a server that is there already.
 */
export async function startRunServer(runFolder: string): Promise<string> {
  const url = process.env.SKIPLEASE_TEST_DATABASE_URL || (await startOwnServer(runFolder));
  const template = templateName(runFolder);
  await withAdmin(url, (client) => client.query(`CREATE DATABASE ${template}`));
  await migrate(urlOfDatabase(url, template));
  return url;
}

async function startOwnServer(runFolder: string): Promise<string> {
  const binariesFolder = process.env.SKIPLEASE_TEST_POSTGRES_BINARIES;
  const { url } = await startEmbeddedPostgres({
    dataFolder: join(runFolder, 'servers', 'shared'),
    settings: FAST_SETTINGS,
    restart: false,
    ...(binariesFolder ? { binariesFolder } : {}),
  });
  return url;
}

/** Drops what the run made on a server that stays. */
export async function dropRunDatabases(serverUrl: string, runFolder: string): Promise<void> {
  await withAdmin(serverUrl, async (client) => {
    const { rows } = await client.query<{ datname: string }>('SELECT datname FROM pg_database WHERE starts_with(datname, $1)', [
      databasePrefix(runFolder),
    ]);
    for (const { datname } of rows) await client.query(`DROP DATABASE IF EXISTS ${datname} WITH (FORCE)`);
  });
}

/** One connection to the server's own database, for as long as `use` takes. */
export async function withAdmin<Result>(serverUrl: string, use: (client: pg.Client) => Promise<Result>): Promise<Result> {
  const client = new pg.Client({ connectionString: serverUrl });
  client.on('error', () => undefined);
  await client.connect();
  try {
    return await use(client);
  } finally {
    await client.end();
  }
}
