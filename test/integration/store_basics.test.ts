/** The schema comes about once, and databases that cannot be worked with are refused with a reason. */
import { readdir } from 'node:fs/promises';
import test from 'ava';
import pg from 'pg';
import { SkipleaseError } from '../../coordinator/errors.ts';
import { migrate } from '../../coordinator/store/migrate.ts';
import { createEmptyDatabase, createTestDatabase, type TestDatabase } from '../support/database.ts';
import { testWhen } from '../support/skip.ts';
import { hasPgbouncer, startPgbouncer } from '../support/store_pooler.ts';
import { startPostgresWire } from '../support/store_wire.ts';

const withPgbouncer = testWhen(await hasPgbouncer(), 'pgbouncer (apt-get install pgbouncer)');

async function queried<Row extends pg.QueryResultRow>(database: TestDatabase, text: string): Promise<Row[]> {
  const client = new pg.Client({ connectionString: database.url });
  await client.connect();
  try {
    return (await client.query<Row>(text)).rows;
  } finally {
    await client.end();
  }
}

test('eight coordinators that start together migrate once', async (t) => {
  const database = await createEmptyDatabase();
  t.teardown(() => database.drop());
  await Promise.all(Array.from({ length: 8 }, () => migrate(database.url)));
  const applied = await queried<{ version: number }>(database, 'select version from skiplease.migration order by version');
  const files = await readdir(new URL('../../coordinator/store/migrations/', import.meta.url));
  t.deepEqual(applied.map(({ version }) => version), files.map((name) => Number(name.slice(0, 4))).toSorted((a, b) => a - b));
});

test('a newer schema is refused where a migration to it is breaking, and left as it is', async (t) => {
  const database = await createTestDatabase();
  t.teardown(() => database.drop());
  await queried(database, "insert into skiplease.migration (version, name) values (9997, '9997_breaks.breaking.sql'), (9998, '9998_adds.sql')");
  const refusal = await t.throwsAsync(migrate(database.url), { instanceOf: SkipleaseError });
  t.is(refusal.reason, 'SCHEMA_TOO_NEW');
  t.regex(refusal.message, /9998, and with 9997_breaks\.breaking\.sql/);
});

test('a migration that fails leaves nothing of itself behind', async (t) => {
  const database = await createEmptyDatabase();
  t.teardown(() => database.drop());
  await queried(database, 'create schema skiplease; create table skiplease.lease (in_the_way integer)');
  const refusal = await t.throwsAsync(migrate(database.url), { instanceOf: SkipleaseError });
  t.is(refusal.reason, 'MIGRATION_FAILED');
  const tables = await queried<{ relname: string }>(database, "select relname from pg_class where relnamespace = 'skiplease'::regnamespace and relkind = 'r' order by 1");
  t.deepEqual(tables.map(({ relname }) => relname), ['lease', 'migration']);
});

test('a connection pooler in between is recognised by its handshake, and refused with the reason', async (t) => {
  const database = await createTestDatabase();
  t.teardown(() => database.drop());
  // BackendKeyData: a pooler makes up its own, because its clients' cancel requests come to it.
  const pooler = await startPostgresWire(database.url, (type, body) => {
    if (type === 'K') {
      body.writeInt32BE(body.readInt32BE(0) + 1, 0);
    }
    return body;
  });
  t.teardown(() => pooler.close());
  const refusal = await t.throwsAsync(migrate(pooler.url), { instanceOf: SkipleaseError });
  t.is(refusal.reason, 'POOLER_IN_BETWEEN');
  t.regex(refusal.message, /DATABASE_URL directly/);
});

for (const poolMode of ['transaction', 'session'] as const) {
  withPgbouncer(`pgbouncer pooling by ${poolMode} is recognised`, async (t) => {
    const database = await createTestDatabase();
    const pooler = await startPgbouncer(database.url, poolMode);
    t.teardown(async () => {
      await pooler.process.stop();
      await database.drop();
    });
    const refusal = await t.throwsAsync(migrate(pooler.url), { instanceOf: SkipleaseError });
    t.is(refusal.reason, 'POOLER_IN_BETWEEN');
  });
}

test('a PostgreSQL older than 15 is refused, and told so', async (t) => {
  const database = await createTestDatabase();
  t.teardown(() => database.drop());
  const [{ version } = { version: '' }] = await queried<{ version: string }>(database, "select current_setting('server_version_num') as version");
  const old = await startPostgresWire(database.url, (type, body) => {
    const at = type === 'D' ? body.indexOf(version) : -1;
    if (at >= 0) {
      body.write('140019', at);
    }
    return body;
  });
  t.teardown(() => old.close());
  const refusal = await t.throwsAsync(migrate(old.url), { instanceOf: SkipleaseError });
  t.is(refusal.reason, 'POSTGRES_TOO_OLD');
  t.regex(refusal.message, /15 or newer/);
});
