/** Every coordinator is restarted in turn under load: no submit fails, no attempt is spent, no job runs twice. */
import test from 'ava';
import { startWorld } from '../support/lease_world.ts';
import { startSteadyLoad } from '../support/steady_load.ts';

const COORDINATORS = 3;
/** Each coordinator is restarted so often. */
const ROUNDS = 2;
const QUEUE = 'rolling';

test('a rolling restart, twice over', async (t) => {
  const world = await startWorld({ coordinators: COORDINATORS, leaseTtlMs: 3_000 });
  t.teardown(() => world.end());
  const load = startSteadyLoad({ addresses: world.addresses, queue: QUEUE, workMs: 20, workers: 3, submitters: 3 });
  t.teardown(() => load.stop());
  await load.more(200);
  let running = [...world.members];
  for (let round = 0; round < ROUNDS; round += 1) {
    const restarted = [];
    for (const member of running) {
      t.is(await member.stop(), 0);
      restarted.push(await world.join({ SKIPLEASE_GRPC_ADDRESS: member.grpcAddress }));
      await load.more(100);
    }
    running = restarted;
  }
  // Rejects if a submit failed beyond the client's own tries.
  const accepted = await load.stopSubmitting();
  const ended = await world.records.untilEnded(accepted);
  t.log(`${accepted.length} jobs`);
  t.is(ended.length, accepted.length);
  t.deepEqual(ended.filter(({ state, attempt }) => state !== 'SUCCEEDED' || attempt !== 1), []);
  t.deepEqual(await world.records.tried(accepted), []);
  t.deepEqual([...load.begun].filter(([, times]) => times !== 1), [], 'no handler ran twice');
  const [total] = await world.records.rows<{ jobs: number }>('select count(*)::int as jobs from skiplease.job');
  t.is(total!.jobs, accepted.length, 'nothing was created twice');
});
