/** Coordinators are added while workers are busy: their streams spread over all, and no work notices. */
import test from 'ava';
import { freePort } from '../support/free_port.ts';
import { startWorld } from '../support/lease_world.ts';
import type { World } from '../support/lease_world.ts';
import { makeEffectsFile, readEffects, startWorkerHere, timesDone } from '../support/lease_workers.ts';
import { waitFor } from '../support/wait.ts';

const DEADLINE_MS = 30_000;
const WORKERS = 12;

let world: World;
test.before(async () => {
  world = await startWorld({ leaseTtlMs: 10_000, environment: { SKIPLEASE_REBALANCE_MS: '300' } });
});
test.after.always(async () => {
  await world?.end();
});

/** How many workers each coordinator has, the fewest first. */
async function spread(): Promise<number[]> {
  const workers = await world.members[0]!.operator.workers('busy');
  return world.members.map(({ coordinatorId }) => workers.filter((worker) => worker.coordinatorId === coordinatorId).length).toSorted((a, b) => a - b);
}

test('two coordinators come, one after the other: the workers spread, every job succeeds, and no attempt is spent', async (t) => {
  const later = [`127.0.0.1:${await freePort()}`, `127.0.0.1:${await freePort()}`];
  const effectsFile = await makeEffectsFile();
  const workers = Array.from({ length: WORKERS }, (_, index) => startWorkerHere({
    // As a headless Service gives them: each worker in an order of its own, also those that are not there yet.
    addresses: [world.addresses[0]!, ...(index % 2 === 0 ? later : later.toReversed())],
    queue: 'busy', workerId: `w${index}`, effectsFile, concurrency: 4, windowJobs: 8, workMs: 100,
  }));
  t.teardown(() => Promise.all(workers.map((worker) => worker.stop())));
  const submitted: string[] = [];
  let submitting = true;
  const feeding = (async () => {
    while (submitting) {
      submitted.push(...await world.submit('busy', 100));
      await waitFor(async () => !submitting || submitted.length - await world.records.countAllEnded() < 300, { deadlineMs: DEADLINE_MS, what: 'room for more' });
    }
  })();
  await waitFor(async () => (await spread())[0] === WORKERS, { deadlineMs: DEADLINE_MS, what: 'all workers on the one coordinator' });
  for (const [index, address] of later.entries()) {
    await world.join({ SKIPLEASE_GRPC_ADDRESS: address });
    const most = Math.ceil(1.2 * WORKERS / (index + 2));
    await waitFor(async () => {
      const counts = await spread();
      return counts.at(-1)! <= most && counts.reduce((sum, count) => sum + count, 0) === WORKERS ? counts : undefined;
    }, { deadlineMs: DEADLINE_MS, what: `at most ${most} workers on each of ${index + 2} coordinators` });
  }
  submitting = false;
  await feeding;
  t.log(`${submitted.length} jobs, workers on the coordinators: ${(await spread()).join(', ')}`);
  const ended = await world.records.untilEnded(submitted);
  t.true(ended.every(({ state, attempt }) => state === 'SUCCEEDED' && attempt === 1));
  t.deepEqual(await world.records.tried(submitted), []);
  t.is(timesDone(await readEffects(effectsFile)).size, submitted.length);
});
