import { createHash } from 'node:crypto';
import { spawn } from 'node:child_process';
import { chmod, mkdir, open } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { processIdentity } from '../../coordinator/embedded/process_identity.ts';

/** All folders of test runs begin so; what a killed run left behind is found by it. */
export const RUN_FOLDER_PREFIX = 'skiplease-test-';

const KEEPER = new URL('./keeper.ts', import.meta.url).pathname;

/** Tells the processes that a test starts which run they belong to. */
const RUN_FOLDER_VARIABLE = 'SKIPLEASE_TEST_RUN_FOLDER';

/** AVA gives each test file a process of its own, whose parent is the run. Outside of AVA this process is the run. */
function ownerPid(): number {
  return process.env.NODE_ENV === 'test' && process.send !== undefined ? process.ppid : process.pid;
}

let folder: Promise<string> | undefined;

/**
 * The temporary folder of this test run, shared by all of its processes. Whoever comes first makes it, and starts the
 * keeper (keeper.ts): a process that waits for the run's end, however it ends, then stops all that was started under
 * the folder and removes it.
 */
export function testRunFolder(): Promise<string> {
  folder ??= findRunFolder();
  return folder;
}

async function findRunFolder(): Promise<string> {
  const path = process.env[RUN_FOLDER_VARIABLE] ?? (await makeRunFolder());
  process.env[RUN_FOLDER_VARIABLE] = path;
  return path;
}

async function makeRunFolder(): Promise<string> {
  const pid = ownerPid();
  const identity = await processIdentity(pid);
  if (identity === undefined) throw new Error(`The test run, process ${pid}, has ended.`);
  const label = createHash('sha256').update(identity).digest('hex').slice(0, 12);
  const path = join(tmpdir(), `${RUN_FOLDER_PREFIX}${pid}-${label}`);
  try {
    await mkdir(path);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EEXIST') return path;
    throw error;
  }
  // PostgreSQL's own user, where the tests run as root, must be able to pass.
  await chmod(path, 0o711);
  await mkdir(join(path, 'servers'), { mode: 0o711 });
  await mkdir(join(path, 'processes'));
  const log = await open(join(path, 'keeper.log'), 'a');
  // Away from the terminal's Ctrl-C: it has to outlive the run.
  spawn(process.execPath, [KEEPER, path, String(pid), identity], {
    detached: true,
    stdio: ['ignore', log.fd, log.fd],
  }).unref();
  await log.close();
  return path;
}
