/** The database cannot keep up: locks, no connections, slow commits. The service slows down and says why; no lease is lost, and it recovers by itself. */
import { status } from '@grpc/grpc-js';
import anyTest from 'ava';
import pg from 'pg';
import { connect as openConnection } from '../../coordinator/store/connection.ts';
import { GivenUp } from '../../coordinator/store/given_up.ts';
import { migrate } from '../../coordinator/store/migrate.ts';
import { LeaseClient, succeeded } from '../support/lease_client.ts';
import { startPrivateServer } from '../support/private_server.ts';
import { waitFor } from '../support/wait.ts';
import { call, jobSpec, refused, startRpc, type Rpc } from '../support/rpc_clients.ts';

const test = anyTest;
const DEADLINE_MS = 30_000;
const TTL_MS = 1_000;

interface Teardown {
  teardown(undo: () => unknown): void;
}

async function start(t: Teardown, databaseUrl?: string): Promise<Rpc> {
  const rpc = await startRpc({ SKIPLEASE_LEASE_TTL_MS: String(TTL_MS), SKIPLEASE_DRAIN_DEADLINE_MS: '1000' }, databaseUrl);
  t.teardown(() => rpc.stop());
  return rpc;
}

async function connect(t: Teardown, url: string): Promise<pg.Client> {
  const client = new pg.Client({ connectionString: url });
  client.on('error', () => {});
  await client.connect();
  t.teardown(() => client.end().catch(() => {}));
  return client;
}

/** Locks a table of ours against everybody, until the returned function is called. */
async function lock(t: Teardown, { databaseUrl }: Rpc, table: string): Promise<() => Promise<unknown>> {
  const client = await connect(t, databaseUrl);
  await client.query(`begin; lock table skiplease.${table} in access exclusive mode`);
  return () => client.query('rollback');
}

const outlast = (ms: number) => {
  const sinceMs = performance.now();
  return waitFor(() => performance.now() - sinceMs > ms, { deadlineMs: DEADLINE_MS, what: 'that time to pass' });
};

async function attempts({ databaseUrl }: Rpc, t: Teardown): Promise<number> {
  const { rows } = await (await connect(t, databaseUrl)).query<{ count: number }>('select count(*)::int as count from skiplease.attempt');
  return rows[0]!.count;
}

async function readyz({ coordinator }: Rpc): Promise<string> {
  return (await (await fetch(`http://${coordinator.httpAddress}/readyz`)).text()).trim();
}

/** One job, all the way round. */
async function roundTrip(rpc: Rpc, worker: LeaseClient, queue: string): Promise<void> {
  const [jobId] = await rpc.submit(jobSpec({ queue }));
  const lease = await worker.next('lease');
  await worker.report(lease.token, [succeeded(jobId!)]);
}

test('outcomes are locked for longer than the time to live: reports wait in bounds, nothing more is read, and no lease is lost', async (t) => {
  const rpc = await start(t);
  const worker = new LeaseClient(rpc.coordinator.grpcAddress);
  await worker.hello({ queues: ['locked'], jobs: 400 });
  const jobIds = await rpc.submit(...Array.from({ length: 400 }, () => jobSpec({ queue: 'locked' })));
  const lease = await worker.next('lease');
  t.is(lease.jobs.length, 400);
  const unlock = await lock(t, rpc, 'outcome');
  const receipts: number[] = [];
  worker.listen((message) => {
    if (message.$case === 'receipt') receipts.push(...message.value.jobs.map(({ status: given }) => given));
  });
  for (const jobId of jobIds) worker.send({ $case: 'report', value: { token: lease.token, outcomes: [succeeded(jobId)] } });
  await outlast(3 * TTL_MS);
  t.is(receipts.length, 0);
  const refusal = await refused(call(rpc.jobs, 'getJob', { jobId: jobIds[0]! }));
  t.like(refusal, { code: status.UNAVAILABLE, reason: 'DATABASE_BUSY' });
  t.true(refusal.retryDelayMs! > 0);
  t.is(await readyz(rpc), 'ready', 'submits and heartbeats go on');
  await rpc.submit(jobSpec({ queue: 'another' }));
  await unlock();
  await waitFor(() => receipts.length === 400, { deadlineMs: DEADLINE_MS, what: 'all receipts' });
  t.true(receipts.every((given) => given === 1 || given === 2), 'accepted, or on record already');
  t.is(await attempts(rpc, t), 0);
  await roundTrip(rpc, worker, 'locked');
  await worker.cancel();
});

test('jobs are locked: submits are told to come again, leases live on, and it goes on at once', async (t) => {
  const rpc = await start(t);
  const worker = new LeaseClient(rpc.coordinator.grpcAddress);
  await worker.hello({ queues: ['locked'] });
  const [jobId] = await rpc.submit(jobSpec({ queue: 'locked' }));
  const lease = await worker.next('lease');
  const unlock = await lock(t, rpc, 'job');
  const startedMs = performance.now();
  const refusals = await Promise.all(Array.from({ length: 20 }, () => refused(call(rpc.jobs, 'submitJob', { job: jobSpec({ queue: 'locked' }) }))));
  refusals.forEach((refusal) => t.like(refusal, { code: status.UNAVAILABLE, reason: 'DATABASE_BUSY' }));
  t.true(refusals.every(({ retryDelayMs, message }) => retryDelayMs! > 0 && message.includes('locked')), JSON.stringify(refusals[0]));
  t.true(performance.now() - startedMs < 15_000);
  t.deepEqual((await worker.report(lease.token, [succeeded(jobId!)])).jobs.map(({ status: given }) => given), [1]);
  await unlock();
  await roundTrip(rpc, worker, 'locked');
  await worker.cancel();
});

test('those who look are held up: they are bounded and told so, and work goes on as if nothing were', async (t) => {
  const rpc = await start(t);
  const worker = new LeaseClient(rpc.coordinator.grpcAddress);
  await worker.hello({ queues: ['free'] });
  const [jobId] = await rpc.submit(jobSpec({ queue: 'elsewhere' }));
  const unlock = await lock(t, rpc, 'attempt');
  const looks = Array.from({ length: 520 }, () => refused(call(rpc.jobs, 'getJob', { jobId: jobId! })));
  const first = await Promise.race(looks);
  t.like(first, { code: status.RESOURCE_EXHAUSTED, reason: 'TOO_MANY_CALLS' });
  t.true(first.retryDelayMs! > 0);
  const startedMs = performance.now();
  await roundTrip(rpc, worker, 'free');
  t.true(performance.now() - startedMs < 2_000);
  t.like(await Promise.any(looks.slice(0, 8)), { code: status.UNAVAILABLE, reason: 'DATABASE_BUSY' });
  await unlock();
  await waitFor(() => rpc.get(jobId!).then(() => true, () => false), { deadlineMs: DEADLINE_MS, what: 'looks to be answered again' });
  await Promise.allSettled(looks);
  await worker.cancel();
});

test('what was given up on and is still at it is not followed by another connection: they would pile up', async (t) => {
  const { databaseUrl } = await start(t);
  const stuck = await openConnection(databaseUrl, 'stuck');
  const givenUp = new GivenUp(1);
  await givenUp.check(stuck);
  const query = stuck.query('select pg_sleep(60)').catch(() => {});
  givenUp.add(stuck);
  const admin = await connect(t, databaseUrl);
  const backend = `select pid from pg_stat_activity where application_name = 'skiplease stuck' and state = 'active'`;
  const { pid } = await waitFor(async () => (await admin.query<{ pid: number }>(backend)).rows[0], { deadlineMs: DEADLINE_MS, what: 'it to be busy' });
  const error = await t.throwsAsync(openConnection(databaseUrl, 'next').then((client) => givenUp.check(client)));
  t.like(error, { code: 'UNAVAILABLE', reason: 'DATABASE_STALLED' });
  await admin.query('select pg_cancel_backend($1)', [pid]);
  await query;
  const next = await openConnection(databaseUrl, 'next');
  await t.notThrowsAsync(waitFor(() => givenUp.check(next).then(() => true), { deadlineMs: DEADLINE_MS, what: 'it to be taken' }));
  await Promise.all([next.end(), stuck.end()]);
});

test('PostgreSQL has no connection left for it, then slow commits, then none at all: it says so, and comes back each time', async (t) => {
  const server = await startPrivateServer({ durable: true, settings: { max_connections: '24', superuser_reserved_connections: '0' } });
  t.teardown(() => server.stop());
  await migrate(server.url);
  const rpc = await start(t, server.url);
  const worker = new LeaseClient(rpc.coordinator.grpcAddress);
  await worker.hello({ queues: ['slow'] });
  const [jobId] = await rpc.submit(jobSpec({ queue: 'slow' }));
  const lease = await worker.next('lease');

  // Others take every connection that there is, and it loses its own.
  const others: pg.Client[] = [];
  const admin = await connect(t, server.url);
  const takeAll = async () => {
    for (;;) {
      const other = new pg.Client({ connectionString: server.url });
      other.on('error', () => {});
      try {
        await other.connect();
      } catch {
        return;
      }
      others.push(other);
    }
  };
  const isAway = async () => {
    await takeAll();
    await admin.query(`select pg_terminate_backend(pid) from pg_stat_activity where application_name like 'skiplease%'`);
    return (await readyz(rpc)) === 'database away';
  };
  await waitFor(isAway, { deadlineMs: DEADLINE_MS, what: 'it to have no connection, and readiness to tell' });
  const full = await refused(call(rpc.jobs, 'submitJob', { job: jobSpec({ queue: 'slow' }) }));
  t.is(full.code, status.UNAVAILABLE);
  t.true(full.retryDelayMs! > 0);
  await Promise.all(others.map((other) => other.end()));
  await waitFor(async () => (await readyz(rpc)) === 'ready', { deadlineMs: DEADLINE_MS, what: 'readiness' });
  t.deepEqual((await worker.report(lease.token, [succeeded(jobId!)])).jobs.map(({ status: given }) => given), [1]);

  // Each commit takes a tenth of a second.
  await admin.query('alter system set commit_delay = 100000');
  await admin.query('alter system set commit_siblings = 0');
  await admin.query('select pg_reload_conf()');
  await waitFor(async () => (await admin.query<{ commit_delay: string }>('show commit_delay')).rows[0]!.commit_delay === '100000', { deadlineMs: DEADLINE_MS, what: 'the setting' });
  for (let count = 0; count < 5; count += 1) await roundTrip(rpc, worker, 'slow');
  t.is(await readyz(rpc), 'ready');

  // A standby that is waited for and is not there: no commit is ever answered.
  await admin.query(`alter system set synchronous_standby_names = 'nobody'`);
  await admin.query('alter system reset commit_delay');
  await admin.query('select pg_reload_conf()');
  await waitFor(() => readyz(rpc).then((text) => text === 'database away'), { deadlineMs: DEADLINE_MS, what: 'readiness to tell' });
  const stalled = await refused(call(rpc.jobs, 'submitJob', { job: jobSpec({ queue: 'slow' }) }));
  t.true([status.UNAVAILABLE, status.RESOURCE_EXHAUSTED].includes(stalled.code), JSON.stringify(stalled));
  t.true(stalled.retryDelayMs! > 0);
  await admin.query('alter system reset synchronous_standby_names');
  await admin.query('select pg_reload_conf()');
  await waitFor(async () => (await readyz(rpc)) === 'ready', { deadlineMs: DEADLINE_MS, what: 'readiness' });
  await waitFor(() => rpc.submit(jobSpec({ queue: 'other' })).then(() => true, () => false), { deadlineMs: DEADLINE_MS, what: 'submits to be taken' });
  t.is(await attempts(rpc, t), 0);
  await worker.cancel();
});
