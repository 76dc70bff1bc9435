/** The steady load of docker-compose.yml: it submits at its rate, says that it is alive, and ends in peace. */
import { stat } from 'node:fs/promises';
import { join } from 'node:path';
import test from 'ava';
import { startWorld, type World } from '../support/lease_world.ts';
import { startScript } from '../support/processes.ts';
import { testRunFolder } from '../support/run_folder.ts';
import { waitFor } from '../support/wait.ts';

const LOAD = new URL('../../worker/payments/load.ts', import.meta.url).pathname;
const DEADLINE_MS = 20_000;

let world: World;
test.before(async () => {
  world = await startWorld();
});
test.after.always(() => world?.end());

test('a load goes on until it is told to stop, and touches its file', async (t) => {
  const aliveFile = join(await testRunFolder(), 'load_alive');
  const load = await startScript(LOAD, ['--rate', '200'], { SKIPLEASE_ADDRESSES: world.addresses.join(','), SKIPLEASE_ALIVE_FILE: aliveFile });
  const jobs = async () => Number((await world.records.rows<{ jobs: string }>('select count(*) as jobs from skiplease.job'))[0]!.jobs);
  await waitFor(async () => (await jobs()) >= 60, { deadlineMs: DEADLINE_MS, what: 'three steps of jobs' });
  t.true((await stat(aliveFile)).isFile());
  t.is(await load.stop(), 0);
  t.is((await jobs()) % 20, 0, 'whole steps');
});

test('a rate that is none is refused', async (t) => {
  const load = await startScript(LOAD, ['--rate', '0'], {});
  t.is(await load.exited, 1);
  t.deepEqual(load.logs, ['--rate must be a whole number from 1 to 10000, not "0".']);
});
