import { readdir, readFile, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test from 'ava';
import { findLivePostmaster } from '../../coordinator/embedded/postmaster_file.ts';
import { startProcess, type TestProcess } from '../support/processes.ts';
import { RUN_FOLDER_PREFIX } from '../support/run_folder.ts';
import { waitFor } from '../support/wait.ts';

const DEADLINE_MS = 60_000;

/** A test run of its own: it makes a database, starts a process, prints its run's folder, and waits to be killed. */
const RUN = `
  import { createTestDatabase } from '${new URL('../support/database.ts', import.meta.url).pathname}';
  import { startProcess } from '${new URL('../support/processes.ts', import.meta.url).pathname}';
  import { testRunFolder } from '${new URL('../support/run_folder.ts', import.meta.url).pathname}';
  await createTestDatabase();
  const sleeper = await startProcess('/bin/sleep', ['600'], {});
  console.log(JSON.stringify({ folder: await testRunFolder(), sleeper: sleeper.pid }));
`;

interface Run {
  folder: string;
  sleeper: number;
  server: number;
  keeper: number;
}

async function startRun(): Promise<{ run: TestProcess; started: Run }> {
  const environment = { ...process.env, NODE_ENV: undefined, SKIPLEASE_TEST_RUN_FOLDER: undefined };
  const run = await startProcess(process.execPath, ['--input-type=module-typescript', '-e', RUN], { env: environment });
  const line = await run.line((text) => text.startsWith('{'), DEADLINE_MS, 'a run of its own');
  const { folder, sleeper } = JSON.parse(line) as Pick<Run, 'folder' | 'sleeper'>;
  const server = (await findLivePostmaster(join(folder, 'servers', 'shared', 'postgres')))!.pid;
  const keeper = Number(await readFile(join(folder, 'keeper.pid'), 'utf8'));
  return { run, started: { folder, sleeper, server, keeper } };
}

function lives(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
}

async function isCleared({ folder, sleeper, server }: Run): Promise<boolean> {
  return !lives(sleeper) && !lives(server) && (await stat(folder).catch(() => undefined)) === undefined;
}

test.serial('a killed test run leaves no server, no process and no folder behind', async (t) => {
  const { run, started } = await startRun();
  run.kill('SIGKILL');
  await waitFor(() => isCleared(started), { deadlineMs: DEADLINE_MS, what: 'the keeper to clear up' });
  await waitFor(() => !lives(started.keeper), { deadlineMs: DEADLINE_MS, what: 'the keeper to end' });
  t.pass();
});

test.serial('what a killed run and its killed keeper leave behind, the next run clears up', async (t) => {
  const { run, started } = await startRun();
  process.kill(started.keeper, 'SIGKILL');
  run.kill('SIGKILL');
  await run.exited;
  t.true(lives(started.server));

  const next = await startRun();
  await waitFor(() => isCleared(started), { deadlineMs: DEADLINE_MS, what: 'the next keeper to clear up' });
  next.run.kill('SIGKILL');
  await waitFor(() => isCleared(next.started), { deadlineMs: DEADLINE_MS, what: 'the keeper to clear up' });
  t.false((await readdir(tmpdir())).some((name) => name.startsWith(`${RUN_FOLDER_PREFIX}${run.pid}-`)));
});
