import { execFile } from 'node:child_process';
import { chmod, chown, mkdir, mkdtemp, readdir, readFile, rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import test from 'ava';
import { makeEmbeddedClone } from '../support/embedded_clone.ts';
import { makeServerFolder } from '../support/private_server.ts';
import { startProcess, startScript, type TestProcess } from '../support/processes.ts';
import { withAdmin } from '../support/run_server.ts';
import { testWhen } from '../support/skip.ts';

const HOST = new URL('../support/embedded_host.ts', import.meta.url).pathname;
const DEADLINE_MS = 60_000;

const asRoot = testWhen(process.getuid?.() === 0, 'root', test.serial);

interface Answer {
  url: string;
  pid: number;
  postgresFolder: string;
  code?: string;
  message?: string;
}

async function answer(host: TestProcess): Promise<Answer> {
  return JSON.parse(await host.line((line) => line.startsWith('{'), DEADLINE_MS, 'the embedded server')) as Answer;
}

/** An empty temporary folder that everybody can pass through; it may stand in for the system's own. */
async function makePassableFolder(): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'skiplease-places-'));
  await chmod(folder, 0o711);
  return folder;
}

async function encoding(url: string): Promise<string> {
  return withAdmin(url, async (client) => (await client.query<{ server_encoding: string }>('SHOW server_encoding')).rows[0]!.server_encoding);
}

asRoot('root, in a clone that nobody else can enter: binaries and data are put where the server can reach them', async (t) => {
  const passable = await makePassableFolder();
  t.teardown(() => rm(passable, { recursive: true }));
  const closed = join(passable, 'closed');
  await mkdir(closed, { mode: 0o700 });
  const clone = await makeEmbeddedClone(join(closed, 'clone'));
  const dataFolder = join(closed, 'clone', 'data');

  // Twice: the second start finds copy and data again. LANG is unset, as in a bare container.
  for (const round of ['first', 'second']) {
    const host = await startProcess(clone.node, [clone.host, dataFolder], { env: { TMPDIR: passable }, cwd: join(closed, 'clone') });
    const { url, postgresFolder } = await answer(host);
    t.true(postgresFolder.startsWith(join(passable, 'skiplease-root')), `${round}: ${postgresFolder}`);
    t.is((await readFile(join(dataFolder, 'database_url'), 'utf8')).trim(), url);
    t.is((await readFile(join(dataFolder, 'database_is_in'), 'utf8')).trim(), join(postgresFolder, '..'));
    t.is(await encoding(url), 'UTF8');
    t.is(await host.stop(), 0);
  }
  const base = join(passable, 'skiplease-root');

  // Another such folder comes and goes; what was kept for it goes with the next start of any.
  const passing = join(closed, 'passing');
  const passer = await startScript(HOST, [passing], { TMPDIR: passable });
  const { postgresFolder } = await answer(passer);
  t.is(await passer.stop(), 0);
  await rm(passing, { recursive: true });
  const next = await startScript(HOST, [dataFolder], { TMPDIR: passable });
  t.is((await answer(next)).code, undefined);
  t.is(await next.stop(), 0);
  t.is(await stat(postgresFolder).catch(() => undefined), undefined);
  t.is((await readdir(base)).filter((name) => name.startsWith('data-')).length, 1);

  const copies = (await readdir(base)).filter((name) => name.startsWith('binaries-'));
  t.is(copies.length, 1);
  const binary = await stat(join(base, copies[0]!, 'bin', 'postgres'));
  t.deepEqual([binary.uid, binary.mode & 0o777], [0, 0o755]);
  const { stdout } = await promisify(execFile)('find', [join(base, copies[0]!), '-perm', '/022', '-not', '-type', 'l']);
  t.is(stdout, '', 'nobody but root may write to the copied binaries');
});

asRoot('root, in such a clone, many at once: all find binaries that run, also in the place of a broken copy', async (t) => {
  const passable = await makePassableFolder();
  t.teardown(() => rm(passable, { recursive: true }));
  const closed = join(passable, 'closed');
  await mkdir(closed, { mode: 0o700 });
  const clone = await makeEmbeddedClone(join(closed, 'clone'));
  const base = join(passable, 'skiplease-root');

  for (const round of ['none there', 'a broken one']) {
    const hosts = await Promise.all(
      [1, 2, 3].map((n) => startProcess(clone.node, [clone.host, join(closed, `data-${n}`)], { env: { TMPDIR: passable } })),
    );
    for (const host of hosts) t.is((await answer(host)).code, undefined, round);
    t.deepEqual(await Promise.all(hosts.map((host) => host.stop(30_000))), [0, 0, 0]);
    const copies = (await readdir(base)).filter((name) => name.startsWith('binaries-'));
    t.is(copies.length, 1, round);
    await rm(join(base, copies[0]!, 'lib'), { recursive: true });
  }
});

asRoot('root: a temporary folder that somebody else made in the place of ours is not used', async (t) => {
  const passable = await makePassableFolder();
  t.teardown(() => rm(passable, { recursive: true }));
  await mkdir(join(passable, 'skiplease-root'));
  await chown(join(passable, 'skiplease-root'), 65534, 65534);
  const closed = join(passable, 'closed');
  await mkdir(closed, { mode: 0o700 });

  const host = await startScript(HOST, [join(closed, 'data')], { TMPDIR: passable });
  const { code, message } = await answer(host);
  t.is(code, 'DATA_FOLDER_UNUSABLE');
  t.regex(message!, /skiplease-root does not belong to root.*DATABASE_URL/s);
});

asRoot('an ordinary user, without LANG, in a home that only that user can enter', async (t) => {
  const passable = await makePassableFolder();
  t.teardown(() => rm(passable, { recursive: true }));
  const home = join(passable, 'home');
  const clone = await makeEmbeddedClone(home);
  const user = { uid: 65534, gid: 65534 };
  await promisify(execFile)('chown', ['-R', `${user.uid}:${user.gid}`, home]);
  await chmod(home, 0o700);

  for (const round of ['first', 'second']) {
    const host = await startProcess(clone.node, [clone.host, join(home, 'data')], { ...user, env: {}, cwd: home });
    const { url, pid, postgresFolder } = await answer(host);
    t.is(postgresFolder, join(home, 'data', 'postgres'), round);
    t.is((await stat(`/proc/${pid}`)).uid, user.uid);
    t.is(await encoding(url), 'UTF8');
    t.is(await host.stop(), 0);
  }

  // Root takes a turn on the user's data, as the user; then the user goes on.
  const byRoot = await startScript(HOST, [join(home, 'data')], {});
  const { pid } = await answer(byRoot);
  t.is((await stat(`/proc/${pid}`)).uid, user.uid);
  t.is(await byRoot.stop(), 0);
  const again = await startProcess(clone.node, [clone.host, join(home, 'data')], { ...user, env: {}, cwd: home });
  t.is((await answer(again)).code, undefined);
  t.is(await again.stop(), 0);
});

test.serial('where there are no binaries the message says to set DATABASE_URL', async (t) => {
  const elsewhere = "data:text/javascript,Object.defineProperty(process,'arch',{value:'riscv64'})";
  const host = await startProcess(process.execPath, ['--import', elsewhere, HOST, await makeServerFolder()], {});
  const { code, message } = await answer(host);
  t.is(code, 'PLATFORM_UNSUPPORTED');
  t.regex(message!, /riscv64.*Set DATABASE_URL/);
  t.is(await host.exited, 1);
});

test.serial('a data folder that cannot be made is refused with what to do', async (t) => {
  const host = await startScript(HOST, ['/dev/null/data'], {});
  const { code, message } = await answer(host);
  t.is(code, 'DATA_FOLDER_UNUSABLE');
  t.regex(message!, /SKIPLEASE_DATA_DIR/);
});
