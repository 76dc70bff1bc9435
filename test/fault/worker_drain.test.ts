/** A worker that is stopped keeps to its deadline, whatever its handlers do, and what they were at goes to others for free. */
import test from 'ava';
import { startWorld } from '../support/lease_world.ts';
import { makeEffectsFile, readEffects, startWorkerProcess } from '../support/lease_workers.ts';
import { waitFor, within } from '../support/wait.ts';

const DRAIN_DEADLINE_MS = 500;
/** Beyond it handlers get a second to notice; then there are receipts to wait for, on a busy machine. */
const STOPPED_MS_MAX = DRAIN_DEADLINE_MS + 1_000 + 5_000;
const DEADLINE_MS = 20_000;

test('handlers that go on and on hold it up no longer than its drain deadline', async (t) => {
  const world = await startWorld();
  const effectsFile = await makeEffectsFile();
  const options = { addresses: world.addresses, queue: 'endless', effectsFile, concurrency: 4, windowJobs: 8 };
  const worker = await startWorkerProcess({ ...options, workerId: 'endless', workMs: 600_000, drainDeadlineMs: DRAIN_DEADLINE_MS });
  t.teardown(() => world.end());
  const jobIds = await world.submit('endless', 8);
  await waitFor(async () => (await readEffects(effectsFile)).length === 4, { deadlineMs: DEADLINE_MS, what: 'four handlers to begin' });
  worker.kill('SIGTERM');
  t.is(await within(worker.exited, STOPPED_MS_MAX, 'the worker to end'), 0);
  const ready = await waitFor(async () => {
    const back = await world.records.ready(jobIds);
    return back.length === jobIds.length && back;
  }, { deadlineMs: DEADLINE_MS, what: 'all jobs to be ready again' });
  t.true(ready.every(({ attempt }) => attempt === 1), 'no attempt is spent');
  t.deepEqual(await world.records.tried(jobIds), []);
});
