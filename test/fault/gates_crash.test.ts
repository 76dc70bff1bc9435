/** Coordinators are killed while jobs with keys are submitted, leased and reported through them: limits hold, and nothing is stuck or left. */
import test from 'ava';
import { call, jobSpec, startRpc, succeeded } from '../support/rpc_clients.ts';
import type { Rpc } from '../support/rpc_clients.ts';
import { GatesWorld, mostAtOnce, mostOverRate } from '../support/gates_world.ts';
import { TestWorker } from '../support/store_engine.ts';
import { newJob } from '../support/store_jobs.ts';
import { waitFor } from '../support/wait.ts';

const QUEUE = 'killed';
const DEADLINE_MS = 30_000;
const KILLS = 3;
const TTL_MS = 1_000;
const keyLimit = { runningMax: 3, rate: { starts: 10, periodMs: 50, burst: 5 } };
const limit = { runningMax: 8, rate: null };

/** Submits and works through this coordinator until it is gone, in the middle of whatever it does then. */
async function load(rpc: Rpc, submitted: Map<string, { serialKey: string; limitKey: string }>): Promise<void> {
  const worker = await rpc.worker({ queues: [QUEUE], jobs: 20 });
  const heartbeats = setInterval(() => worker.say({ $case: 'heartbeat', value: { sequence: 1, received: 1_000_000 } }), TTL_MS / 10);
  const submits = (async () => {
    for (;;) {
      const jobs = Array.from({ length: 10 }, (_, index) => ({ id: newJob().id, serialKey: `s${index % 7}`, limitKey: `l${index % 2}` }));
      jobs.forEach(({ id, ...keys }) => submitted.set(id, keys));
      await call(rpc.jobs, 'submitJobs', { jobs: jobs.map((fields) => jobSpec({ queue: QUEUE, ...fields, maxAttempts: 1_000 })) });
    }
  })();
  const reports = (async () => {
    for (;;) {
      const lease = await worker.lease();
      await worker.report(lease.token, lease.jobs.map(({ id }) => succeeded(id)));
    }
  })();
  await Promise.allSettled([submits, reports]);
  clearInterval(heartbeats);
}

test('whatever is killed, limits and serial keys hold, and everything ends', async (t) => {
  const world = await GatesWorld.open({ leaseTtlMs: TTL_MS, tickMs: 200 });
  t.teardown(() => world.close());
  const queueId = await world.set(QUEUE, { limit, keyLimit });
  const submitted = new Map<string, { serialKey: string; limitKey: string }>();
  const ended = () => world.store.count('outcome');
  for (let kill = 0; kill < KILLS; kill += 1) {
    const rpc = await startRpc({ SKIPLEASE_LEASE_TTL_MS: String(TTL_MS) }, world.store.url);
    const before = await ended();
    const loading = load(rpc, submitted);
    await waitFor(async () => (await ended()) > before + 20, { deadlineMs: DEADLINE_MS, what: 'jobs to end' });
    rpc.coordinator.kill('SIGKILL');
    await loading;
    await rpc.stop();
  }
  // Nobody knows of the last ones whether they were committed: said again, they are there once.
  await world.engines[0]!.engine.submit([...submitted].map(([id, options]) => newJob({ id, queue: QUEUE, type: 'send', maxAttempts: 1_000, options })));
  const workers = await Promise.all(world.engines.map(async ({ engine }) => {
    const worker = new TestWorker(engine);
    await worker.hello({ queues: [QUEUE], jobs: 20 });
    return worker;
  }));
  await waitFor(async () => {
    await Promise.all(workers.flatMap((worker) => worker.leases.splice(0).map((lease) => worker.succeed(lease))));
    return (await ended()) === submitted.size;
  }, { deadlineMs: DEADLINE_MS, what: `${submitted.size} jobs to end` });
  workers.forEach((worker) => worker.leave());
  const ran = await world.ran(queueId);
  t.log(`${ran.length} jobs, ${ran.reduce((sum, { holds }) => sum + holds.length, 0)} attempts`);
  t.true(mostAtOnce(ran) <= limit.runningMax);
  for (const jobs of Map.groupBy(ran, ({ limitKey }) => limitKey).values()) {
    t.true(mostAtOnce(jobs) <= keyLimit.runningMax);
    t.true(mostOverRate(jobs, keyLimit.rate) < 0.001);
  }
  for (const jobs of Map.groupBy(ran, ({ serialKey }) => serialKey).values()) {
    t.is(mostAtOnce(jobs), 1);
  }
  await waitFor(async () => (await world.leftovers(queueId)).length === 0, { deadlineMs: 5_000, what: 'nothing to be left' });
});
