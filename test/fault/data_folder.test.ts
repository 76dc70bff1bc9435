/** Everything is killed at once: coordinators, workers and the PostgreSQL that one of them runs. A start from the data folder goes on. */
import { readFile } from 'node:fs/promises';
import test from 'ava';
import { readPostmasterFile } from '../../coordinator/embedded/postmaster_file.ts';
import { JobClient, newJobId } from '../../worker/index.ts';
import { startCoordinator } from '../support/coordinator.ts';
import { Records } from '../support/lease_records.ts';
import { makeEffectsFile, readEffects, startWorkerProcess, timesDone } from '../support/lease_workers.ts';
import { makeServerFolder } from '../support/private_server.ts';
import { killLeftProcesses } from '../support/processes.ts';
import { waitFor } from '../support/wait.ts';

const LEASE_TTL_MS = 2_000;
const DEADLINE_MS = 60_000;
const QUEUE = 'killed';
const SUBMIT_JOBS = 50;
const WINDOW_JOBS = 40;
const WORKERS = 2;

test.after.always(killLeftProcesses);

test('kill -9 of everything, and a start from the data folder', async (t) => {
  const dataFolder = await makeServerFolder();
  const environment = { SKIPLEASE_DATA_DIR: dataFolder, SKIPLEASE_LEASE_TTL_MS: String(LEASE_TTL_MS) };
  const effectsFile = await makeEffectsFile();
  const owner = await startCoordinator({ environment });
  const other = await startCoordinator({ databaseUrl: (await readFile(owner.databaseUrlFile!, 'utf8')).trim(), environment });
  const startWorkers = (addresses: string[]) => Promise.all(Array.from({ length: WORKERS }, (_, index) => startWorkerProcess({
    addresses, queue: QUEUE, effectsFile, workerId: `worker ${index}`, concurrency: 10, windowJobs: WINDOW_JOBS, workMs: 10,
  })));
  const workers = await startWorkers([owner.grpcAddress, other.grpcAddress]);

  // Until the end: each submit is answered, or it is not.
  const accepted: string[] = [];
  let cut: unknown;
  const submitting = Promise.all([owner, other].map(async ({ grpcAddress }) => {
    const client = new JobClient({ addresses: [grpcAddress], triesMax: 1, timeoutMs: 5_000 });
    while (cut === undefined) {
      const jobs = Array.from({ length: SUBMIT_JOBS }, () => ({ id: newJobId(), queue: QUEUE, type: 'work' }));
      await client.submitMany(jobs).then(() => accepted.push(...jobs.map(({ id }) => id)), (error: Error) => (cut = error));
    }
    client.close();
  }));
  await waitFor(async () => (await readEffects(effectsFile)).length > 500, { deadlineMs: DEADLINE_MS, what: 'work to be under way' });
  const postmaster = await readPostmasterFile(`${dataFolder}/postgres`);
  for (const pid of [owner.pid, other.pid, ...workers.map((worker) => worker.pid), postmaster!.pid]) process.kill(pid, 'SIGKILL');
  await Promise.all([submitting, owner.exited, other.exited, ...workers.map(({ exited }) => exited)]);
  t.truthy(cut, 'submits went on until the kill');

  const again = await startCoordinator({ environment });
  const anew = await startWorkers([again.grpcAddress]);
  const records = new Records((await readFile(again.databaseUrlFile!, 'utf8')).trim());
  const ended = await records.untilEnded(accepted, DEADLINE_MS);
  t.is(ended.length, accepted.length, 'nothing accepted is lost');
  t.true(ended.every(({ state }) => state === 'SUCCEEDED'));
  t.true(ended.every(({ attempt }) => attempt <= 2));
  const twice = ended.filter(({ attempt }) => attempt === 2).length;
  t.true(twice <= WORKERS * WINDOW_JOBS, 'only what was held has spent an attempt');
  const done = timesDone(await readEffects(effectsFile));
  const again2 = accepted.filter((id) => done.get(id) !== 1).length;
  t.true(again2 <= WORKERS * WINDOW_JOBS, 'only what was held may have run twice');
  t.log(`${accepted.length} jobs; ${twice} held at the kill came back, ${again2} of them had been done without a receipt`);
  // Submits without an answer are there as a whole, or not at all.
  const [{ count } = { count: 0 }] = await records.rows<{ count: number }>('select count(*)::int as count from skiplease.job');
  t.is(count % SUBMIT_JOBS, 0);
  await waitFor(async () => (await records.rows('select from skiplease.lease')).length === 0, { deadlineMs: DEADLINE_MS, what: 'no lease to be left behind' });
  await records.close();
  await Promise.all(anew.map((worker) => worker.stop()));
  t.is(await again.stop(), 0);
});
