import { readFile, rm, stat } from 'node:fs/promises';
import { createConnection, createServer, type AddressInfo } from 'node:net';
import { networkInterfaces } from 'node:os';
import { once } from 'node:events';
import test from 'ava';
import pg from 'pg';
import { startEmbeddedPostgres } from '../../coordinator/embedded/index.ts';
import { makeServerFolder } from '../support/private_server.ts';
import { withAdmin } from '../support/run_server.ts';
import { waitFor } from '../support/wait.ts';

test.serial('a new data folder gets a durable, private PostgreSQL 18 that speaks UTF-8', async (t) => {
  const dataFolder = await makeServerFolder();
  const server = await startEmbeddedPostgres({ dataFolder });
  t.teardown(server.stop);
  t.false(server.adopted);
  t.regex(server.version, /PostgreSQL\) 18\./);

  const show = async (name: string): Promise<string> =>
    withAdmin(server.url, async (client) => (await client.query<Record<string, string>>(`SHOW ${name}`)).rows[0]![name]!);
  t.is(await show('fsync'), 'on');
  t.is(await show('synchronous_commit'), 'on');
  t.is(await show('full_page_writes'), 'on');
  t.is(await show('server_encoding'), 'UTF8');
  t.is(await show('shared_preload_libraries'), 'pg_stat_statements');

  t.is((await stat(server.urlFile)).mode & 0o777, 0o600);
  t.is((await readFile(server.urlFile, 'utf8')).trim(), server.url);

  const wrong = new URL(server.url);
  wrong.password = 'wrong';
  const refused = await t.throwsAsync(withAdmin(wrong.href, async () => undefined));
  t.is((refused as { code?: string }).code, '28P01');

  for (const { address, family } of Object.values(networkInterfaces()).flatMap((list) => list ?? [])) {
    if (address === '127.0.0.1' || family !== 'IPv4') continue;
    const socket = createConnection({ host: address, port: server.port });
    const [error] = (await once(socket, 'error')) as [NodeJS.ErrnoException];
    t.is(error.code, 'ECONNREFUSED', `listens on ${address}`);
  }
});

test.serial('a stop and a start keep the data, the password and the port', async (t) => {
  const dataFolder = await makeServerFolder();
  const first = await startEmbeddedPostgres({ dataFolder });
  await withAdmin(first.url, (client) => client.query('CREATE TABLE kept AS SELECT 7 AS n'));
  await first.stop();
  await t.throwsAsync(withAdmin(first.url, async () => undefined), { code: 'ECONNREFUSED' });

  const second = await startEmbeddedPostgres({ dataFolder });
  t.teardown(second.stop);
  t.is(second.url, first.url);
  t.not(second.pid, first.pid);
  const { rows } = await withAdmin(second.url, (client) => client.query('SELECT n FROM kept'));
  t.deepEqual(rows, [{ n: 7 }]);
});

test.serial('a second start beside the first names the owner, and harms nothing', async (t) => {
  const dataFolder = await makeServerFolder();
  const first = await startEmbeddedPostgres({ dataFolder });
  t.teardown(first.stop);
  const error = await t.throwsAsync(startEmbeddedPostgres({ dataFolder }), { name: 'EmbeddedPostgresError' });
  t.is((error as { code?: string }).code, 'DATA_FOLDER_IN_USE');
  t.true(error.message.includes(`pid ${process.pid}`));
  await t.notThrowsAsync(withAdmin(first.url, (client) => client.query('SELECT 1')));
});

test.serial('a port that was asked for and is taken is refused; the port of the last start is only a wish', async (t) => {
  const dataFolder = await makeServerFolder();
  const first = await startEmbeddedPostgres({ dataFolder });
  await first.stop();
  const squatter = createServer().listen(first.port, '127.0.0.1');
  await once(squatter, 'listening');
  t.teardown(() => squatter.close());
  t.is((squatter.address() as AddressInfo).port, first.port);

  const error = await t.throwsAsync(startEmbeddedPostgres({ dataFolder, port: first.port }));
  t.is((error as { code?: string }).code, 'PORT_TAKEN');
  t.true(error.message.includes(String(first.port)));

  const second = await startEmbeddedPostgres({ dataFolder });
  t.teardown(second.stop);
  t.not(second.port, first.port);
  t.true((await readFile(second.urlFile, 'utf8')).includes(`:${second.port}/`));
});

test.serial('a lost or spoilt connection URL costs a new password, not the data', async (t) => {
  const dataFolder = await makeServerFolder();
  const first = await startEmbeddedPostgres({ dataFolder });
  await withAdmin(first.url, (client) => client.query('CREATE TABLE kept AS SELECT 7 AS n'));
  await first.stop();
  await rm(first.urlFile);

  const second = await startEmbeddedPostgres({ dataFolder });
  t.not(new URL(second.url).password, new URL(first.url).password);
  await withAdmin(second.url, (client) => client.query("ALTER ROLE skiplease PASSWORD 'changed by somebody'"));
  await second.stop();

  const third = await startEmbeddedPostgres({ dataFolder });
  t.teardown(third.stop);
  const { rows } = await withAdmin(third.url, (client) => client.query('SELECT n FROM kept'));
  t.deepEqual(rows, [{ n: 7 }]);
});

test.serial('stop ends sessions that are in the middle of a transaction, and may be called twice', async (t) => {
  const server = await startEmbeddedPostgres({ dataFolder: await makeServerFolder() });
  const client = new pg.Client({ connectionString: server.url });
  const errors: { code?: string }[] = [];
  client.on('error', (error) => errors.push(error as { code?: string }));
  await client.connect();
  await client.query('BEGIN');
  await Promise.all([server.stop(), server.stop()]);
  await waitFor(() => errors.some(({ code }) => code === '57P01'), { deadlineMs: 5_000, what: 'the session to be ended' });
  t.pass();
});
