import test from 'ava';
import { migrate } from '../../coordinator/store/migrate.ts';
import { hasPostgres15, startPostgres15 } from '../support/postgres15.ts';
import { withAdmin } from '../support/run_server.ts';
import { testWhen } from '../support/skip.ts';

const on15 = testWhen(await hasPostgres15(), 'PostgreSQL 15', test);

on15('PostgreSQL 15, the oldest that is supported, takes the schema', async (t) => {
  const server = await startPostgres15();
  t.teardown(server.stop);
  t.regex(server.version, /PostgreSQL\) 15\./);
  await migrate(server.url);
  await migrate(server.url);
  const { rows } = await withAdmin(server.url, (client) => client.query("SELECT count(*) > 5 AS made FROM pg_tables WHERE schemaname = 'skiplease'"));
  t.deepEqual(rows, [{ made: true }]);
});
