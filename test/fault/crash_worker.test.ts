/** Workers that die or freeze while they hold jobs: the jobs go to others, an attempt is spent, nothing ends twice. */
import test from 'ava';
import { JobClient } from '../../worker/index.ts';
import { startCoordinator, type TestCoordinator } from '../support/coordinator.ts';
import { createTestDatabase, type TestDatabase } from '../support/database.ts';
import { Operator } from '../support/lease_operator.ts';
import { Records } from '../support/lease_records.ts';
import { makeEffectsFile, readEffects, startWorkerHere, startWorkerProcess, timesDone } from '../support/lease_workers.ts';
import { waitFor } from '../support/wait.ts';

const LEASE_TTL_MS = 2_000;
const DEADLINE_MS = 30_000;

let database: TestDatabase;
let records: Records;
let coordinator: TestCoordinator;
let operator: Operator;
let client: JobClient;

test.before(async () => {
  database = await createTestDatabase();
  records = new Records(database.url);
  coordinator = await startCoordinator({ databaseUrl: database.url, environment: { SKIPLEASE_LEASE_TTL_MS: String(LEASE_TTL_MS) } });
  operator = new Operator(coordinator.grpcAddress);
  client = new JobClient({ addresses: [coordinator.grpcAddress] });
});

test.after.always(async () => {
  client?.close();
  operator?.close();
  await coordinator?.stop();
  await records?.close();
  await database?.drop();
});

async function submit(queue: string, count: number): Promise<string[]> {
  const submitted = await client.submitMany(Array.from({ length: count }, () => ({ queue, type: 'work' })));
  return submitted.map(({ id }) => id);
}

/** Jobs that stand under a worker's leases in the database, once nothing changes them any more. */
async function heldBy(workerId: string): Promise<string[]> {
  const look = async () => (await operator.leases({ workerId })).flatMap(({ jobIds }) => jobIds).sort();
  let before = await look();
  return waitFor(
    async () => {
      const now = await look();
      const same = now.join() === before.join();
      before = now;
      return same && now;
    },
    { deadlineMs: LEASE_TTL_MS / 2, what: `the leases of ${workerId} to stand still` },
  );
}

test('a worker is killed after 200 of 1,000 receipts, and every job still ends once', async (t) => {
  const queue = 'killed';
  const effectsFile = await makeEffectsFile();
  const jobIds = await submit(queue, 1_000);
  const options = { addresses: [coordinator.grpcAddress], queue, effectsFile, concurrency: 10, windowJobs: 60, workMs: 5 };
  const doomed = await startWorkerProcess({ ...options, workerId: 'doomed' });
  t.teardown(() => doomed.kill('SIGKILL'));
  await waitFor(async () => (await records.countEnded(jobIds)) >= 200, { deadlineMs: DEADLINE_MS, what: '200 receipts' });
  const leases = await waitFor(
    async () => {
      const seen = await operator.leases({ workerId: 'doomed' });
      return seen.length > 0 && seen;
    },
    { deadlineMs: DEADLINE_MS, what: 'a lease of the worker' },
  );
  t.is(leases[0]!.queue, queue);
  const killedAt = await records.now();
  doomed.kill('SIGKILL');
  t.is(await doomed.exited, 137);
  const rescuer = startWorkerHere({ ...options, workerId: 'rescuer', concurrency: 50, windowJobs: 200 });
  t.teardown(() => rescuer.stop());
  const lost = new Set(await heldBy('doomed'));
  t.true(lost.size > 0, 'the worker died with jobs in its hands');

  const ended = await records.untilEnded(jobIds);
  t.is(ended.length, jobIds.length);
  t.true(ended.every(({ state }) => state === 'SUCCEEDED'));
  t.deepEqual(ended.filter(({ attempt }) => attempt !== 1).map(({ jobId }) => jobId), [...lost].sort(), 'what it held spent one attempt, nothing else did');
  t.true(ended.every(({ attempt }) => attempt <= 2));
  t.deepEqual(
    await records.tried(jobIds),
    [...lost].sort().map((jobId) => ({ jobId, number: 1, state: 'EXPIRED', workerId: 'doomed' })),
  );
  const lastMs = Math.max(...ended.map(({ finishedAt }) => finishedAt.getTime())) - killedAt.getTime();
  t.log(`the last result came ${lastMs} ms after the kill; ${lost.size} jobs were lost`);
  t.true(lastMs <= LEASE_TTL_MS + 1_000, `the last result came ${lastMs} ms after the kill`);

  const effects = await readEffects(effectsFile);
  const done = timesDone(effects);
  t.is(done.size, jobIds.length);
  for (const [jobId, times] of done) {
    // A handler that ended just before the kill had no receipt yet: its job is done again, as everybody must expect.
    t.true(times === 1 || (times === 2 && lost.has(jobId)), `${jobId} was done ${times} times`);
  }
  const snapshot = await client.get([...lost][0]!);
  t.like(snapshot, { state: 'SUCCEEDED', attempt: 2 });
  t.like(snapshot.attempts, { length: 1, 0: { number: 1, state: 'EXPIRED', workerId: 'doomed' } });
  await rescuer.stop();
});

test('a worker that is frozen past its time to live loses its jobs, changes nothing when it thaws, and works again', async (t) => {
  const queue = 'frozen';
  const effectsFile = await makeEffectsFile();
  const options = { addresses: [coordinator.grpcAddress], queue, effectsFile, concurrency: 5, windowJobs: 10 };
  const frozen = await startWorkerProcess({ ...options, workerId: 'frozen', workMs: 300 });
  t.teardown(() => frozen.kill('SIGKILL'));
  const jobIds = await submit(queue, 10);
  await waitFor(
    async () => (await readEffects(effectsFile)).filter(({ moment }) => moment === 'begun').length >= 5,
    { deadlineMs: DEADLINE_MS, what: 'five handlers to begin' },
  );
  frozen.kill('SIGSTOP');
  const lost = await heldBy('frozen');
  t.true(lost.length > 0);
  const helper = startWorkerHere({ ...options, workerId: 'helper', workMs: 1 });
  t.teardown(() => helper.stop());
  const ended = await records.untilEnded(jobIds);
  const attempts = await records.tried(jobIds);
  t.true(ended.every(({ state }) => state === 'SUCCEEDED'));
  t.deepEqual(ended.filter(({ attempt }) => attempt === 2).map(({ jobId }) => jobId), lost);
  t.deepEqual(attempts, lost.map((jobId) => ({ jobId, number: 1, state: 'EXPIRED', workerId: 'frozen' })));
  await helper.stop();

  frozen.kill('SIGCONT');
  await frozen.line((line) => line.includes('"event":"report_without_effect"'), DEADLINE_MS, 'a late report to be refused');
  t.deepEqual(await records.ended(jobIds), ended, 'late reports change nothing');
  t.deepEqual(await records.tried(jobIds), attempts);
  const later = await submit(queue, 20);
  const endedLater = await records.untilEnded(later);
  t.true(endedLater.every(({ state, attempt }) => state === 'SUCCEEDED' && attempt === 1));
  t.is(await frozen.stop(), 0);
  const done = timesDone((await readEffects(effectsFile)).filter(({ workerId }) => workerId === 'frozen'));
  t.true(later.every((jobId) => done.get(jobId) === 1));
  t.deepEqual(await records.ended(jobIds), ended);
});
