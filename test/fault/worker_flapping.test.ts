/** Connections that break every few milliseconds, at any moment of the protocol, while jobs are leased, run and reported. */
import { setTimeout as delay } from 'node:timers/promises';
import test from 'ava';
import { Worker } from '../../worker/index.ts';
import { startWorld } from '../support/lease_world.ts';
import { startTcpProxy } from '../support/tcp_proxy.ts';
import { waitFor } from '../support/wait.ts';
import { KeptLog } from '../unit/worker_parts.ts';

/** Submitted after each break, so that there is always something to lease, to hand off and to report. */
const jobsPerBreak = 150;

/** How long each connection lives after its welcome, in milliseconds, over and over. The last sets the backoff back. */
const livesMs = [0, 3, 20, 60, 150, 1_050];
const breaksCount = 24;
const deadlineMs = 90_000;

test('no job is lost, none runs twice, no attempt is spent', async (t) => {
  const world = await startWorld({ coordinators: 2, leaseTtlMs: 10_000 });
  t.teardown(() => world.end());
  const proxies = await Promise.all(world.addresses.map((address) => startTcpProxy(address)));
  t.teardown(() => Promise.all(proxies.map((proxy) => proxy.close())));
  const jobIds: string[] = [];
  const log = new KeptLog();
  const runs = new Map<string, number>();
  const worker = new Worker({
    addresses: proxies.map(({ address }) => address),
    queues: ['flapping'],
    handlers: {
      work: async (job) => {
        runs.set(job.id, (runs.get(job.id) ?? 0) + 1);
        await delay(runs.size % 31);
      },
    },
    concurrency: 10,
    window: { jobs: 60 },
    handleSignals: false,
    logger: log,
  });
  const running = worker.run();
  await waitFor(() => log.events('connected').length === 1, { deadlineMs, what: 'the worker to be connected' });
  t.teardown(async () => {
    await worker.stop();
    await running;
  });

  for (let breaks = 0; breaks < breaksCount; breaks += 1) {
    const connections = log.events('connected').length;
    for (const proxy of proxies) proxy.cut();
    await waitFor(() => log.events('connected').length > connections, { deadlineMs, what: 'the worker to be connected again' });
    jobIds.push(...(await world.submit('flapping', jobsPerBreak)));
    await delay(livesMs[breaks % livesMs.length]);
  }
  const ended = await world.records.untilEnded(jobIds, deadlineMs);
  t.is(ended.length, breaksCount * jobsPerBreak);
  t.deepEqual(ended.filter(({ state, attempt }) => state !== 'SUCCEEDED' || attempt !== 1), []);
  t.deepEqual(await world.records.tried(jobIds), []);
  t.deepEqual([...runs].filter(([, times]) => times !== 1), [], 'each handler ran once');
  const resumed = log.events('connected').filter(({ fields }) => (fields.leases_resumed as number) > 0).length;
  t.log(`${breaksCount} breaks, ${runs.size} jobs, ${log.events('connected').length} connections, ${resumed} of them resumed leases`);
  t.true(resumed > 0);
  t.is(log.lines.filter(({ level }) => level === 'error').length, 0);
});
