/** The coordinator says why it is slow: what it reads of a real database, and how it tells. */
import test from 'ava';
import pg from 'pg';
import { ConditionKind } from '../../coordinator/types.ts';
import { newJobs } from '../support/store_jobs.ts';
import { StoreWorld } from '../support/store_world.ts';
import { waitFor } from '../support/wait.ts';
import { call, jobSpec, startRpc } from '../support/rpc_clients.ts';

test('of a snapshot that is held open it tells whose it is, and of a table that its vacuum is off', async (t) => {
  const world = await StoreWorld.open();
  t.teardown(() => world.close());
  const { store } = world.coordinator();
  t.is((await store.databaseFacts()).oldestSnapshot, undefined);
  const holder = await world.client();
  await holder.query(`set application_name = 'report of the month'; begin isolation level repeatable read; select count(*) from skiplease.job`);
  const pid = (await holder.query<{ pid: number }>('select pg_backend_pid() as pid')).rows[0]!.pid;
  const { oldestSnapshot } = await store.databaseFacts();
  t.like(oldestSnapshot, { pid, application: 'report of the month', state: 'idle in transaction' });
  t.true(oldestSnapshot!.ageMs > 0);
  await holder.query('rollback');
  await world.rows('alter table skiplease.ready set (autovacuum_enabled = false)');
  const { oldestSnapshot: none, autovacuum, tables } = await store.databaseFacts();
  t.is(none, undefined);
  t.true(autovacuum);
  t.deepEqual(tables.toSorted((a, b) => (a.name < b.name ? -1 : 1)).map((table) => [table.name, table.autovacuum]), [['lease', true], ['ready', false], ['scheduled', true]]);
});

test('a claim that lost its index is found out', async (t) => {
  const world = await StoreWorld.open();
  t.teardown(() => world.close());
  const coordinator = world.coordinator();
  const queueId = await world.queue();
  t.is(await coordinator.store.tablesReadWholeByClaim(), undefined, 'nothing was claimed yet');
  await world.submit(coordinator, queueId, newJobs(5));
  await coordinator.claim(queueId, 2);
  t.deepEqual(await coordinator.store.tablesReadWholeByClaim(), []);
  await world.rows('alter table skiplease.ready drop constraint ready_pkey');
  t.deepEqual(await coordinator.store.tablesReadWholeByClaim(), ['ready']);
});

test('GetQueue, the metric and the log tell of it while it lasts', async (t) => {
  const first = await startRpc();
  t.teardown(() => first.stop());
  const client = new pg.Client({ connectionString: first.databaseUrl });
  t.teardown(() => client.end());
  await client.connect();
  await client.query('alter table skiplease.ready set (autovacuum_enabled = false)');
  const rpc = await startRpc({}, first.databaseUrl);
  t.teardown(() => rpc.stop());
  await rpc.submit(jobSpec({ queue: 'slow' }));
  await call(rpc.queues, 'pauseQueue', { queue: 'slow' });
  const conditions = async () => (await call(rpc.queues, 'getQueue', { queue: 'slow' })).queue!.conditions;
  const has = async (kind: ConditionKind) => (await conditions()).some((condition) => condition.kind === kind);
  await waitFor(() => has(ConditionKind.VACUUM_OFF), { deadlineMs: 10_000, what: 'the condition to be seen' });
  t.deepEqual((await conditions()).map(({ kind }) => kind), [ConditionKind.PAUSED, ConditionKind.NO_WORKER, ConditionKind.VACUUM_OFF]);
  const [, , vacuum] = await conditions();
  t.regex(vacuum!.message, /autovacuum is off for skiplease\.ready\..* reset \(autovacuum_enabled\)/);
  t.true(Math.abs(vacuum!.since!.getTime() - Date.now()) < 60_000);
  const scrape = async () => (await fetch(`http://${rpc.coordinator.httpAddress}/metrics`)).text();
  t.regex(await scrape(), /^skiplease_condition\{condition="vacuum_off"\} 1$/m);
  t.true(rpc.coordinator.logs.some((line) => line.includes('"event":"condition_begins"')));
  await client.query('alter table skiplease.ready reset (autovacuum_enabled)');

  await waitFor(async () => !(await has(ConditionKind.VACUUM_OFF)), { deadlineMs: 20_000, what: 'the condition to end' });
  t.notRegex(await scrape(), /^skiplease_condition\{/m);
  const worker = await rpc.worker({ queues: ['slow'], jobs: 1 });
  await call(rpc.queues, 'resumeQueue', { queue: 'slow' });
  await worker.lease();
  t.deepEqual(await conditions(), []);
  worker.cut();
});
