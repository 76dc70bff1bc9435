/** The database is away: for longer than the lease's time to live from all coordinators, or for good from one of them. */
import test from 'ava';
import { Worker } from '../../worker/index.ts';
import { startCoordinator } from '../support/coordinator.ts';
import { createTestDatabase } from '../support/database.ts';
import { startWorld } from '../support/lease_world.ts';
import { Records } from '../support/lease_records.ts';
import { startTcpProxy } from '../support/tcp_proxy.ts';
import type { TcpProxy } from '../support/tcp_proxy.ts';
import { waitFor } from '../support/wait.ts';
import { Gate, KeptLog } from '../unit/worker_parts.ts';

const deadlineMs = 60_000;
const leaseTtlMs = 2_000;

interface TestContext {
  teardown(undo: () => unknown): void;
}

/** A way to a database that can be broken. */
async function breakable(t: TestContext, databaseUrl: string): Promise<{ proxy: TcpProxy; url: string }> {
  const url = new URL(databaseUrl);
  const proxy = await startTcpProxy(`${url.hostname}:${url.port}`);
  t.teardown(() => proxy.close());
  url.hostname = '127.0.0.1';
  url.port = String(proxy.port);
  return { proxy, url: url.href };
}

function work(t: TestContext, addresses: readonly string[]): { gate: Gate; log: KeptLog } {
  const [gate, log] = [new Gate(), new KeptLog()];
  const worker = new Worker({ addresses, queues: ['outage'], handlers: { work: gate.handler }, concurrency: 4, handleSignals: false, logger: log });
  const running = worker.run();
  t.teardown(async () => {
    gate.open();
    await worker.stop();
    await running;
  });
  return { gate, log };
}

test.serial('an outage longer than the time to live: handlers run on, once each, reports wait, no attempt is spent', async (t) => {
  const database = await createTestDatabase();
  t.teardown(() => database.drop());
  const records = new Records(database.url);
  t.teardown(() => records.close());
  const { proxy, url } = await breakable(t, database.url);
  const world = await startWorld({ databaseUrl: url, coordinators: 2, leaseTtlMs });
  t.teardown(() => world.end());
  const { gate } = work(t, world.addresses);
  const jobIds = await world.submit('outage', 8);
  await waitFor(() => gate.started.length === 4, { deadlineMs, what: 'four handlers to start' });

  const awaySince = performance.now();
  proxy.refuse(true);
  proxy.cut();
  gate.open(gate.started[0]!);
  await waitFor(() => performance.now() - awaySince > 3 * leaseTtlMs, { deadlineMs, what: 'the outage to outlast the time to live' });
  gate.open(gate.started[1]!);
  const startedDuringOutage = gate.started.length;
  proxy.refuse(false);

  await waitFor(
    () => {
      gate.open();
      return gate.started.length === 8;
    },
    { deadlineMs, what: 'the other jobs to start' },
  );
  gate.open();
  const ended = await records.untilEnded(jobIds, deadlineMs);
  t.true(ended.every(({ state, attempt }) => state === 'SUCCEEDED' && attempt === 1));
  t.deepEqual(await records.tried(jobIds), []);
  t.deepEqual(gate.started.toSorted(), jobIds.toSorted(), 'each ran once');
  t.true(startedDuringOutage <= 5, 'past the time to live nothing new was started');
});

test.serial('one coordinator cannot reach the database: its worker resumes with the other before the leases are given up', async (t) => {
  const world = await startWorld({ leaseTtlMs: 3_000 });
  t.teardown(() => world.end());
  const { proxy, url } = await breakable(t, world.databaseUrl);
  const cutOff = await startCoordinator({ databaseUrl: url, environment: { SKIPLEASE_LEASE_TTL_MS: '3000' } });
  t.teardown(() => cutOff.stop());
  const { gate, log } = work(t, [cutOff.grpcAddress, ...world.addresses]);
  const jobIds = await world.submit('outage', 4);
  await waitFor(() => gate.started.length === 4, { deadlineMs, what: 'four handlers to start' });
  t.like(log.events('connected')[0]!.fields, { address: cutOff.grpcAddress });

  proxy.refuse(true);
  proxy.cut();
  await waitFor(() => log.events('connected').length === 2, { deadlineMs, what: 'the worker to move' });
  t.like(log.events('moving')[0]!.fields, { reason: 'standing' });
  t.like(log.events('connected')[1]!.fields, { address: world.addresses[0]!, leases_lost: 0, jobs_stopped: 0 });
  gate.open();
  const ended = await world.records.untilEnded(jobIds);
  t.true(ended.every(({ state, attempt }) => state === 'SUCCEEDED' && attempt === 1));
  t.deepEqual(await world.records.tried(jobIds), []);
  proxy.refuse(false);
});
