import { randomBytes } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { testRunFolder } from './run_folder.ts';
import { databasePrefix, templateName, urlOfDatabase, withAdmin } from './run_server.ts';
import { waitFor } from './wait.ts';

/** initdb, a start and the migrations: about two seconds on an idle machine, many times that on a busy one. */
const SERVER_DEADLINE_MS = 120_000;

/** A database of one test file's own. */
export interface TestDatabase {
  url: string;
  name: string;
  /** Drops it, ending what is still connected. */
  drop(): Promise<void>;
}

/** The URL of the run's PostgreSQL server (its superuser, its first database), which is started when first asked for. */
export async function testServerUrl(): Promise<string> {
  const runFolder = await testRunFolder();
  return waitFor(
    async () => {
      const failed = await readFile(join(runFolder, 'failed'), 'utf8').catch(() => undefined);
      if (failed !== undefined) throw new Error(`The test run's PostgreSQL could not be started: ${failed}`);
      return readFile(join(runFolder, 'server_url'), 'utf8').catch(() => undefined);
    },
    { deadlineMs: SERVER_DEADLINE_MS, what: `the test run's PostgreSQL (see ${runFolder}/keeper.log)` },
  );
}

/** A migrated database: a copy of the run's template. */
export async function createTestDatabase(): Promise<TestDatabase> {
  // Measured with our schema, fsync off, busy machine: 150 to 190 ms with FILE_COPY, 270 to 330 ms with WAL_LOG.
  return create(`TEMPLATE ${templateName(await testRunFolder())} STRATEGY file_copy`);
}

/** A database with nothing in it, for tests of the migrations themselves. */
export async function createEmptyDatabase(): Promise<TestDatabase> {
  return create('TEMPLATE template0');
}

async function create(how: string): Promise<TestDatabase> {
  const serverUrl = await testServerUrl();
  const name = `${databasePrefix(await testRunFolder())}${randomBytes(4).toString('hex')}`;
  await withAdmin(serverUrl, (client) => client.query(`CREATE DATABASE ${name} ${how}`));
  return {
    url: urlOfDatabase(serverUrl, name),
    name,
    drop: async () => {
      await withAdmin(serverUrl, (client) => client.query(`DROP DATABASE IF EXISTS ${name} WITH (FORCE)`));
    },
  };
}
