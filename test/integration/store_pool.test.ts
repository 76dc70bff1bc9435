/** The pool of ordinary statements, on a connection that breaks in a way of which slonik does not hear any more. */
import test from 'ava';
import pg from 'pg';
import { z } from 'zod';
import { openPool, sql } from '../../coordinator/store/pool.ts';
import { createTestDatabase } from '../support/database.ts';
import { startTcpProxy } from '../support/tcp_proxy.ts';
import { waitFor } from '../support/wait.ts';

/** Time to strike while a question is on its way. */
const DELAY_MS = 300;

test('a connection that is terminated while it is being made ready harms nobody', async (t) => {
  const database = await createTestDatabase();
  const admin = new pg.Client({ connectionString: database.url });
  await admin.connect();
  const url = new URL(database.url);
  const proxy = await startTcpProxy(url.host);
  url.host = proxy.address;
  const pool = await openPool(url.href);
  t.teardown(async () => {
    await pool.end();
    await proxy.close();
    await admin.end();
    await database.drop();
  });
  const one = () => pool.one(sql.type(z.object({ one: z.number() }))`select 1 as one`);
  proxy.delay(DELAY_MS);
  const refused = t.throwsAsync(one());
  // Its common settings are made, and those of the pool not yet: they are on their way.
  await waitFor(async () => (await admin.query(`select pg_terminate_backend(pid) from pg_stat_activity
    where application_name = 'skiplease ordinary' and state = 'idle' and query like 'set synchronous_commit%' and datname = current_database()`)).rowCount! > 0,
  { deadlineMs: 20_000, what: 'the connection to be half made' });
  await refused;
  await waitFor(() => proxy.connections() === 0, { deadlineMs: 5_000, what: 'the connection to be gone' });
  proxy.delay(0);
  t.deepEqual(await one(), { one: 1 });
});
