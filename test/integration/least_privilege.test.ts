/** A coordinator under a role that owns nothing does all that coordinators do, and could do no more. */
import { randomBytes } from 'node:crypto';
import test from 'ava';
import pg from 'pg';
import { AfterPolicy, JobState, UniqueConflict, UniqueScope } from '../../proto/gen/skiplease/v1/job.ts';
import { SkipleaseError } from '../../coordinator/errors.ts';
import { migrate } from '../../coordinator/store/migrate.ts';
import { listPartitions } from '../../coordinator/store/partitions.ts';
import { createEmptyDatabase, createTestDatabase, testServerUrl } from '../support/database.ts';
import type { TestDatabase } from '../support/database.ts';
import { withAdmin } from '../support/run_server.ts';
import { startRetirer } from '../support/store_retention.ts';
import { waitFor } from '../support/wait.ts';
import { call, failedForGood, jobSpec, startRpc, succeeded } from '../support/rpc_clients.ts';

const DEADLINE_MS = 20_000;
const ROLE = `skiplease_test_${randomBytes(4).toString('hex')}`;

let database: TestDatabase;
let owner: pg.Client;
let url: string;

test.before(async () => {
  database = await createTestDatabase();
  owner = new pg.Client(database.url);
  await owner.connect();
  const password = randomBytes(16).toString('hex');
  await owner.query(`create role ${ROLE} login password '${password}' in role skiplease_coordinator`);
  const lesser = new URL(database.url);
  [lesser.username, lesser.password] = [ROLE, password];
  url = lesser.href;
});

test.after.always(async () => {
  await owner?.end();
  await database?.drop();
  await withAdmin(await testServerUrl(), (client) => client.query(`drop role if exists ${ROLE}`));
});

test.serial('it takes, leases, settles, retries, cancels, counts, gates, schedules and forgets', async (t) => {
  const rpc = await startRpc({}, url);
  t.teardown(() => rpc.stop());
  const { batch } = await call(rpc.batches, 'createBatch', { id: '', label: 'b', followUp: jobSpec({ queue: 'after' }) });
  const [first, failing, keyed, limited, cancelled] = await rpc.submit(
    jobSpec({ batchId: batch!.id, headers: { a: 'b' } }), jobSpec({ type: 'failing' }), jobSpec({ serialKey: 'k' }), jobSpec({ limitKey: 'l' }), jobSpec({ queue: 'never' }),
  );
  await rpc.submit(
    jobSpec({ afterJobIds: [first!], afterPolicy: AfterPolicy.RUN_ANYWAY }), jobSpec({ start: { $case: 'delay', value: { seconds: 0, nanos: 1_000_000 } } }),
    jobSpec({ unique: { key: 'u', scope: UniqueScope.QUEUE, lifetime: undefined, onConflict: UniqueConflict.REPLACE } }),
    jobSpec({ unique: { key: 'u', scope: UniqueScope.QUEUE, lifetime: undefined, onConflict: UniqueConflict.REPLACE } }),
    jobSpec({ deadline: { $case: 'startWithin', value: { seconds: 60, nanos: 0 } } }),
  );
  await call(rpc.batches, 'closeBatch', { batchId: batch!.id });
  const settings = { limit: { runningMax: 50, rate: undefined }, keyLimit: { runningMax: 5, rate: undefined } };
  await call(rpc.queues, 'updateQueue', { queue: 'mail', settings });
  await call(rpc.schedules, 'putSchedule', { schedule: {
    name: 'each-second', cron: '* * * * * *', timeZone: 'UTC', job: jobSpec({ queue: 'ticks' }), missedTicks: 0, overlap: 0, paused: false,
    nextTime: undefined, lastTime: undefined, lastJobId: '', ticksSkipped: 0,
  } });
  const worker = await rpc.worker({ queues: ['mail', 'after'], jobs: 100 });
  const ended = new Set<string>();
  while (ended.size < 10) {
    const lease = await worker.lease();
    worker.say({ $case: 'progress', value: { token: lease.token, jobId: lease.jobs[0]!.id, percent: 50, note: 'half', checkpoint: { content: { $case: 'data', value: Buffer.from('c') }, contentType: '' } } });
    const receipt = await worker.report(lease.token, lease.jobs.map((job) => (job.type === 'failing' ? failedForGood(job.id, 'X', 'x')
      : job.id === first ? { ...succeeded(job.id), followUps: [jobSpec({ queue: 'after' })] } : succeeded(job.id))));
    for (const { jobId, status } of receipt.jobs) {
      t.is(status, 1, jobId);
      ended.add(jobId);
    }
  }
  for (const [id, state] of [[first, JobState.SUCCEEDED], [failing, JobState.FAILED], [keyed, JobState.SUCCEEDED], [limited, JobState.SUCCEEDED]] as const) t.is((await rpc.get(id!)).state, state);
  t.is((await call(rpc.jobs, 'retryJobs', { jobIds: [failing!], filter: undefined, jobsMax: 0, jobsPerSecond: 0, maxAttempts: 0 })).jobsRetried, 1);
  t.is((await call(rpc.jobs, 'cancelJobs', { jobIds: [cancelled!], filter: undefined, reason: '' })).jobsCancelled, 1);
  await call(rpc.queues, 'purgeQueue', { queue: 'mail', reason: '' });
  await call(rpc.queues, 'pauseQueue', { queue: 'mail' });
  await waitFor(async () => (await call(rpc.schedules, 'getSchedule', { name: 'each-second' })).schedule!.lastJobId !== '', { deadlineMs: DEADLINE_MS, what: 'a tick' });
  await waitFor(async () => (await call(rpc.batches, 'getBatch', { batchId: batch!.id })).batch!.followUpJobId !== '', { deadlineMs: DEADLINE_MS, what: 'the batch to be finished' });
  await worker.leave();
  t.deepEqual(rpc.coordinator.logs.filter((line) => /permission denied|"level":"error"/.test(line)), []);
});

test.serial('it makes partitions ahead and drops old ones', async (t) => {
  const retirer = startRetirer(url, { days: 1, failedDays: 1 });
  t.teardown(() => retirer.stop());
  for (let day = 0; day < 4; day += 1) {
    await owner.query(`update skiplease.clock set "offset" = "offset" + interval '1 day'`);
    await retirer.store.ensurePartitions();
  }
  await retirer.run();
  t.true(retirer.dropped().length > 0, JSON.stringify(retirer.log.lines));
  const kept = await listPartitions(owner);
  t.deepEqual(kept.filter(({ fromMs }) => fromMs === null).map(({ table }) => table).toSorted(), ['attempt', 'job', 'outcome']);
  await owner.query(`update skiplease.clock set "offset" = '0'`);
});

test.serial('and could do no more', async (t) => {
  const client = new pg.Client(url);
  await client.connect();
  t.teardown(() => client.end());
  for (const statement of [
    "update skiplease.job set queue_id = 1", 'delete from skiplease.outcome', 'update skiplease.attempt set number = 2', 'delete from skiplease.migration',
    `update skiplease.clock set "offset" = '1 day'`, 'drop table skiplease.ready', 'alter table skiplease.lease add column mine text', 'create table skiplease.mine ()',
    'truncate skiplease.queue', 'create role mine', 'create schema mine', "insert into skiplease.migration values (9999, 'x')",
    'drop table skiplease.job_before_' + (await listPartitions(owner)).find(({ table, fromMs }) => table === 'job' && fromMs === null)!.name.slice(-8),
  ]) {
    const error = await t.throwsAsync(client.query(statement), undefined, statement);
    t.is((error as unknown as { code: string }).code, '42501', statement);
  }
  await t.throwsAsync(client.query("select skiplease.make_lowest(skiplease.uuid_floor(skiplease.now()))"), { message: /last day are not retired/ });
  await t.throwsAsync(client.query("select skiplease.add_partition('lease', null, skiplease.uuid_floor(skiplease.now()))"), { message: /no table of ours/ });
});

test.serial('where the schema is not there, or too old, it says what to run', async (t) => {
  const empty = await createEmptyDatabase();
  t.teardown(() => empty.drop());
  const lesser = new URL(empty.url);
  ({ username: lesser.username, password: lesser.password } = new URL(url));
  const refusal = await t.throwsAsync(migrate(lesser.href), { instanceOf: SkipleaseError });
  t.is(refusal.reason, 'MIGRATION_NEEDS_OWNER');
  t.regex(refusal.message, /npm run migrate/);
  await migrate(empty.url);
  await t.notThrowsAsync(migrate(lesser.href));
});
