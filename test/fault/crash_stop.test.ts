/** Coordinators that are stopped: under load, alone, twice, and before they have started. */
import { once } from 'node:events';
import { credentials, type StatusObject } from '@grpc/grpc-js';
import test from 'ava';
import { JobSpec } from '../../proto/gen/skiplease/v1/job.ts';
import { JobServiceClient } from '../../proto/gen/skiplease/v1/job_service.ts';
import { startCoordinator } from '../support/coordinator.ts';
import { createEmptyDatabase, createTestDatabase } from '../support/database.ts';
import { LeaseClient, succeeded } from '../support/lease_client.ts';
import { assertUnharmed, startLoad } from '../support/lease_load.ts';
import { Records } from '../support/lease_records.ts';
import { makeEffectsFile, readEffects, startWorkerHere } from '../support/lease_workers.ts';
import { startWorld } from '../support/lease_world.ts';
import { startScript } from '../support/processes.ts';
import { waitFor, within } from '../support/wait.ts';

const DEADLINE_MS = 30_000;
/** As startWorld sets it, and what is done after it: last calls, and a busy machine. */
const DRAIN_DEADLINE_MS = 3_000;
const AFTER_DRAIN_MS = 4_000;
const UNAVAILABLE = 14;
const MAIN = new URL('../../coordinator/main.ts', import.meta.url).pathname;

test('one of two coordinators is stopped under load: its workers move, nothing is spent, nothing is done twice', async (t) => {
  const queue = 'stopped';
  const { world, first, second, effectsFile, stopWorkers } = await startLoad(t, queue, 100);
  const byHand = await world.submit('by.hand', 2);
  const stream = await world.worker({ queues: ['by.hand'] });
  const lease = await stream.next('lease');
  const submits = new JobServiceClient(first.grpcAddress, credentials.createInsecure());
  const flood = submits.streamSubmitJobs();
  t.teardown(() => submits.close());
  flood.on('error', () => undefined);
  const floodEnded = new Promise<StatusObject>((resolve) => flood.once('status', resolve));
  flood.write({ chunk: 1, jobs: [JobSpec.create({ queue: 'flood', type: 'work' })] });
  await once(flood, 'data');
  const jobs = Array.from({ length: 1_000 }, () => ({ queue, type: 'work' }));
  const jobIds = (await second.client.submitMany(jobs)).map(({ id }) => id);
  await waitFor(async () => (await world.records.countEnded(jobIds)) >= 100, { deadlineMs: DEADLINE_MS, what: '100 jobs to end' });

  first.kill('SIGTERM');
  const { deadline } = await stream.next('drain');
  const deadlineMs = deadline!.seconds * 1_000 + deadline!.nanos / 1e6;
  t.true(deadlineMs > 0 && deadlineMs <= DRAIN_DEADLINE_MS, `${deadlineMs} ms to go`);
  // As it was told: resume elsewhere, then close the old stream. What was reported on the old one counts.
  stream.send({ $case: 'report', value: { token: lease.token, outcomes: [succeeded(byHand[0]!)] } });
  const moved = await world.worker({ queues: ['by.hand'], instanceId: stream.instanceId, heldTokens: [lease.token] }, 1);
  t.is((await stream.leave()).code, 0);
  t.deepEqual((await moved.report(lease.token, byHand.map((id) => succeeded(id)))).jobs.map(({ status }) => status), [2, 1]);

  t.is(await within(first.exited, DRAIN_DEADLINE_MS, 'the coordinator to end as soon as its workers have left'), 0);
  t.is((await floodEnded).code, UNAVAILABLE, 'whoever submits is told to go elsewhere, and not cut off');
  await assertUnharmed(t, world, jobIds, effectsFile);
  t.deepEqual(await world.records.tried(byHand), []);
  t.deepEqual(await world.records.rows('select id from skiplease.coordinator'), [{ id: second.coordinatorId }]);
  t.true((await second.operator.workers()).every(({ coordinatorId }) => coordinatorId === second.coordinatorId));
  await stopWorkers();
});

test('the only coordinator is stopped: it ends in time, and what is held is resumed after the restart', async (t) => {
  const world = await startWorld({ leaseTtlMs: 4_000 });
  const [only] = world.members;
  const effectsFile = await makeEffectsFile();
  const worker = startWorkerHere({ addresses: world.addresses, queue: 'library', effectsFile, workerId: 'library', concurrency: 3, windowJobs: 5, workMs: 6_000 });
  t.teardown(async () => {
    await worker.stop();
    await world.end();
  });
  const long = await world.submit('library', 3);
  const byHand = await world.submit('by.hand', 2);
  const stream = await world.worker({ queues: ['by.hand'] });
  const lease = await stream.next('lease');
  const idle = await world.worker({ queues: ['nothing.there'], workerId: 'idle' });
  await waitFor(async () => (await readEffects(effectsFile)).length === 3, { deadlineMs: DEADLINE_MS, what: 'three handlers to begin' });

  only!.kill('SIGTERM');
  await stream.next('drain');
  const stranger = new LeaseClient(only!.grpcAddress);
  stranger.send({ $case: 'hello', value: stranger.helloMessage({ queues: ['by.hand'] }) });
  t.is((await stranger.status()).code, UNAVAILABLE, 'nobody new comes in');
  // What is reported while it drains is committed and answered.
  t.deepEqual((await stream.report(lease.token, [succeeded(byHand[0]!)])).jobs.map(({ status }) => status), [1]);
  t.is(await within(only!.exited, DRAIN_DEADLINE_MS + AFTER_DRAIN_MS, 'the coordinator to end'), 0);
  t.is((await stream.status()).code, UNAVAILABLE);
  await idle.status();
  t.deepEqual(await world.records.rows(`select worker_id from skiplease.session where worker_id = 'idle'`), [], 'who held nothing has left no trace');

  const again = await world.join({ SKIPLEASE_GRPC_ADDRESS: only!.grpcAddress });
  const resumed = new LeaseClient(again.grpcAddress);
  const welcome = await resumed.hello({ queues: ['by.hand'], instanceId: stream.instanceId, heldTokens: [lease.token] });
  t.deepEqual(welcome.resumed, [{ token: lease.token, jobIds: [byHand[1]!] }]);
  t.deepEqual((await resumed.report(lease.token, [succeeded(byHand[1]!)])).jobs.map(({ status }) => status), [1]);
  await resumed.leave();
  const ended = await world.records.untilEnded([...long, ...byHand]);
  t.true(ended.every(({ state, attempt }) => state === 'SUCCEEDED' && attempt === 1));
  t.deepEqual(await world.records.tried([...long, ...byHand]), []);
  t.is((await readEffects(effectsFile)).filter(({ moment }) => moment === 'begun').length, 3, 'the handlers went on all the while');
});

test('who asks while it stops is answered, or told to ask another', async (t) => {
  const world = await startWorld();
  t.teardown(() => world.end());
  const [coordinator] = world.members;
  const codes = new Map<number, number>();
  let answers = 0;
  let asking = true;
  const askers = Array.from({ length: 20 }, async () => {
    while (asking) {
      await coordinator!.operator.workers().then(() => (answers += 1), ({ code }: { code: number }) => codes.set(code, (codes.get(code) ?? 0) + 1));
    }
  });
  await waitFor(() => answers > 100, { deadlineMs: DEADLINE_MS, what: '100 answers' });
  coordinator!.kill('SIGTERM');
  t.is(await coordinator!.exited, 0);
  asking = false;
  await Promise.all(askers);
  t.log(`${answers} answers, refused by code:`, Object.fromEntries(codes));
  t.deepEqual([...codes.keys()], [UNAVAILABLE]);
});

test('a second signal ends it at once', async (t) => {
  const world = await startWorld({ environment: { SKIPLEASE_DRAIN_DEADLINE_MS: '60000' } });
  t.teardown(() => world.end());
  const [coordinator] = world.members;
  const stream = await world.worker({ queues: ['any'] });
  coordinator!.kill('SIGTERM');
  await stream.next('drain');
  coordinator!.kill('SIGTERM');
  t.is(await within(coordinator!.exited, AFTER_DRAIN_MS, 'the coordinator to end'), 143);
});

test('a signal at any moment of the start ends it in peace, and leaves nothing behind', async (t) => {
  const database = await createTestDatabase();
  const empty = await createEmptyDatabase();
  t.teardown(() => Promise.all([database.drop(), empty.drop()]));
  const connected = (records: Records) => async () =>
    (await records.rows(`select from pg_stat_activity where datname = current_database() and application_name like 'skiplease%'`)).length > 0;
  const entered = (records: Records) => async () => (await records.rows('select from skiplease.coordinator')).length > 0;
  const moments: { name: string; url: string; when: (records: Records) => () => Promise<boolean>; codes: number[] }[] = [
    // Before its own code runs a signal ends any process.
    { name: 'at once', url: database.url, when: () => async () => true, codes: [0, 143] },
    { name: 'once it is connected', url: database.url, when: connected, codes: [0] },
    { name: 'while it migrates', url: empty.url, when: connected, codes: [0] },
    { name: 'once it is among the coordinators', url: database.url, when: entered, codes: [0] },
  ];
  for (const { name, url, when, codes } of moments) {
    const records = new Records(url);
    const starting = await startScript(MAIN, [], {
      DATABASE_URL: url, SKIPLEASE_GRPC_ADDRESS: '127.0.0.1:0', SKIPLEASE_HTTP_ADDRESS: '127.0.0.1:0',
    });
    t.teardown(() => starting.kill('SIGKILL'));
    await waitFor(when(records), { deadlineMs: DEADLINE_MS, what: `the moment '${name}'` });
    starting.kill('SIGTERM');
    const code = await within(starting.exited, DEADLINE_MS, `the end of a coordinator that was stopped ${name}`);
    t.true(codes.includes(code), `${name}: exit ${code}\n${starting.logs.join('\n')}`);
    t.deepEqual(await records.rows(`select application_name from pg_stat_activity where datname = current_database() and application_name like 'skiplease%'`), [], name);
    if (url === database.url) t.deepEqual(await records.rows('select id from skiplease.coordinator'), [], name);
    await records.close();
  }
  // The half-migrated one starts as if nothing had been.
  const running = await startCoordinator({ databaseUrl: empty.url });
  t.is(await running.stop(), 0);
});
