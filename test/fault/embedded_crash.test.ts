import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { chown, mkdir, readdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import test from 'ava';
import pg from 'pg';
import { accountForServer } from '../../coordinator/embedded/account.ts';
import { startEmbeddedPostgres } from '../../coordinator/embedded/index.ts';
import { findLivePostmaster } from '../../coordinator/embedded/postmaster_file.ts';
import { makeServerFolder } from '../support/private_server.ts';
import { startScript, type TestProcess } from '../support/processes.ts';
import { withAdmin } from '../support/run_server.ts';
import { waitFor } from '../support/wait.ts';

const HOST = new URL('../support/embedded_host.ts', import.meta.url).pathname;

interface Hosted {
  url: string;
  pid: number;
  code?: string;
  message?: string;
}

async function hosted(host: TestProcess): Promise<Hosted> {
  return JSON.parse(await host.line((line) => line.startsWith('{'), 60_000, 'the embedded server')) as Hosted;
}

test.serial('after kill -9 of its owner the server lives on, and the next start takes it over with its sessions', async (t) => {
  const dataFolder = await makeServerFolder();
  const host = await startScript(HOST, [dataFolder], {});
  const before = await hosted(host);
  const client = new pg.Client({ connectionString: before.url });
  await client.connect();
  t.teardown(() => client.end());
  host.kill('SIGKILL');
  await host.exited;
  await client.query('CREATE TABLE kept AS SELECT 7 AS n');

  const server = await startEmbeddedPostgres({ dataFolder });
  t.true(server.adopted);
  t.is(server.pid, before.pid);
  t.is(server.url, before.url);
  t.deepEqual((await client.query('SELECT n FROM kept')).rows, [{ n: 7 }]);
  client.on('error', () => undefined);
  await server.stop();
  t.is(await findLivePostmaster(server.postgresFolder), undefined);
});

test.serial('a server left behind with other settings is not taken over but started anew with the right ones', async (t) => {
  const dataFolder = await makeServerFolder();
  const host = await startScript(HOST, [dataFolder], {});
  const before = await hosted(host);
  host.kill('SIGKILL');
  await host.exited;

  const server = await startEmbeddedPostgres({ dataFolder, settings: { work_mem: '7MB' } });
  t.teardown(server.stop);
  t.false(server.adopted);
  t.not(server.pid, before.pid);
  const { rows } = await withAdmin(server.url, (client) => client.query('SHOW work_mem'));
  t.deepEqual(rows, [{ work_mem: '7MB' }]);
});

test.serial('kill -9 of owner and server together is repaired by the next start', async (t) => {
  const dataFolder = await makeServerFolder();
  const host = await startScript(HOST, [dataFolder], {});
  const before = await hosted(host);
  await withAdmin(before.url, (client) => client.query('CREATE TABLE kept AS SELECT 7 AS n'));
  host.kill('SIGKILL');
  process.kill(before.pid, 'SIGKILL');
  await host.exited;

  const server = await startEmbeddedPostgres({ dataFolder });
  t.teardown(server.stop);
  t.false(server.adopted);
  const { rows } = await withAdmin(server.url, (client) => client.query('SELECT n FROM kept'));
  t.deepEqual(rows, [{ n: 7 }]);
});

test.serial('killed in the middle of initdb, the next start begins again', async (t) => {
  const dataFolder = await makeServerFolder();
  await mkdir(dataFolder, { recursive: true });
  const host = await startScript(HOST, [dataFolder], {});
  const draft = await waitFor(
    async () => (await readdir(dataFolder)).find((name) => name.startsWith('initdb-')),
    { deadlineMs: 20_000, what: 'initdb to begin' },
  );
  await waitFor(async () => (await readdir(join(dataFolder, draft, 'cluster')).catch((): string[] => [])).includes('base'), {
    deadlineMs: 20_000,
    what: 'initdb to be in the middle of its work',
  });
  host.kill('SIGKILL');
  await host.exited;

  const server = await startEmbeddedPostgres({ dataFolder });
  t.teardown(server.stop);
  t.deepEqual((await readdir(dataFolder)).filter((name) => name.startsWith('initdb-')), []);
  await t.notThrowsAsync(withAdmin(server.url, (client) => client.query('SELECT 1')));
});

test.serial('killed at any moment of a start, again and again, the data folder always comes up', async (t) => {
  const dataFolder = await makeServerFolder();
  for (const afterMs of [5, 40, 120, 250, 400, 600, 900, 1_300]) {
    const host = await startScript(HOST, [dataFolder], {});
    // The moment of the kill is what is tried here, so it is a time and not a condition.
    await Promise.race([delay(afterMs), host.exited]);
    host.kill('SIGKILL');
    await host.exited;
    t.deepEqual(host.logs.filter((line) => line.includes('"code"')), [], `a start before the kill after ${afterMs} ms failed`);
  }
  const server = await startEmbeddedPostgres({ dataFolder });
  t.teardown(server.stop);
  await t.notThrowsAsync(withAdmin(server.url, (client) => client.query('SELECT 1')));
});

test.serial('Ctrl-C, which hits the whole process group, at any moment ends in a clean stop', async (t) => {
  const dataFolder = await makeServerFolder();
  for (const afterMs of [100, 300, 700, 1_200]) {
    const host = spawn(process.execPath, [HOST, dataFolder], { detached: true, stdio: 'ignore' });
    const exited = once(host, 'exit');
    await delay(afterMs);
    process.kill(-host.pid!, 'SIGINT');
    const [code, signal] = (await exited) as [number | null, string | null];
    // Before the program has set up its handlers the signal simply ends it.
    t.true(code === 0 || signal === 'SIGINT', `exit ${code} ${signal} after ${afterMs} ms`);
    t.is(await findLivePostmaster(join(dataFolder, 'postgres')), undefined);
  }
  const server = await startEmbeddedPostgres({ dataFolder });
  t.teardown(server.stop);
  await t.notThrowsAsync(withAdmin(server.url, (client) => client.query('SELECT 1')));
});

test.serial('a lock whose owner is dead is taken over, also when its pid now belongs to a stranger', async (t) => {
  const dataFolder = await makeServerFolder();
  await mkdir(dataFolder, { recursive: true });
  const lock = join(dataFolder, 'coordinator.lock');
  await writeFile(lock, JSON.stringify({ pid: process.pid, identity: `${process.pid}:1:another boot` }));
  const server = await startEmbeddedPostgres({ dataFolder });
  t.is((JSON.parse(await readFile(lock, 'utf8')) as { pid: number }).pid, process.pid);
  await server.stop();
  t.false((await readdir(dataFolder)).some((name) => name.includes('lock')));
});

test.serial('of many that start together on one folder, one gets it and the others are told whose it is', async (t) => {
  const dataFolder = await makeServerFolder();
  await mkdir(dataFolder, { recursive: true });
  await writeFile(join(dataFolder, 'coordinator.lock'), JSON.stringify({ pid: 999_999_999, identity: 'long gone' }));
  const hosts = await Promise.all(Array.from({ length: 4 }, () => startScript(HOST, [dataFolder], {})));
  const answers = await Promise.all(hosts.map(hosted));
  t.is(answers.filter(({ url }) => url !== undefined).length, 1);
  t.is(answers.filter(({ code }) => code === 'DATA_FOLDER_IN_USE').length, 3);
  const owner = hosts[answers.findIndex(({ url }) => url !== undefined)]!;
  t.true(answers.filter(({ message }) => message !== undefined).every(({ message }) => message!.includes(`pid ${owner.pid}`)));
  t.is(await owner.stop(), 0);
});

test.serial('a postmaster.pid that names a stranger does not keep the server from starting', async (t) => {
  const dataFolder = await makeServerFolder();
  const first = await startEmbeddedPostgres({ dataFolder });
  await first.stop();
  // Of the server's own user: any other PostgreSQL knows for a stranger by itself.
  const account = await accountForServer(first.postgresFolder);
  const stranger = spawn('/bin/sleep', ['60'], { cwd: '/', ...(account ? { uid: account.userId, gid: account.groupId } : {}) });
  await once(stranger, 'spawn');
  t.teardown(() => stranger.kill());
  const file = join(first.postgresFolder, 'postmaster.pid');
  await writeFile(file, `${stranger.pid}\n${first.postgresFolder}\n1\n${first.port}\n\n127.0.0.1\n\nready\n`);
  if (account !== undefined) await chown(file, account.userId, account.groupId);

  const second = await startEmbeddedPostgres({ dataFolder });
  t.teardown(second.stop);
  t.false(second.adopted);
  t.is(stranger.exitCode, null);
  await t.notThrowsAsync(withAdmin(second.url, (client) => client.query('SELECT 1')));
});

test.serial('a server that dies while its coordinator lives is started again, on its port', async (t) => {
  const server = await startEmbeddedPostgres({ dataFolder: await makeServerFolder() });
  t.teardown(server.stop);
  const { pid } = server;
  await withAdmin(server.url, (client) => client.query('CREATE TABLE kept AS SELECT 7 AS n'));
  process.kill(pid, 'SIGKILL');
  await waitFor(() => server.pid !== pid, { deadlineMs: 30_000, what: 'another server' });
  const { rows } = await withAdmin(server.url, (client) => client.query('SELECT n FROM kept'));
  t.deepEqual(rows, [{ n: 7 }]);
  await server.stop();
  t.is(await findLivePostmaster(server.postgresFolder), undefined);
});
