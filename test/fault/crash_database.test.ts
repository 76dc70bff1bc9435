/** A database that is away, or loses its connections: nothing is lost, no attempt is spent, everybody recovers alone. */
import test, { type ExecutionContext } from 'ava';
import type { EmbeddedPostgres } from '../../coordinator/embedded/index.ts';
import { migrate } from '../../coordinator/store/migrate.ts';
import { JobClient, newJobId, SkipleaseError } from '../../worker/index.ts';
import { createTestDatabase } from '../support/database.ts';
import { LeaseClient, released, succeeded } from '../support/lease_client.ts';
import { Records } from '../support/lease_records.ts';
import { makeEffectsFile, readEffects, startWorkerHere, timesDone } from '../support/lease_workers.ts';
import { startWorld, type Member, type World } from '../support/lease_world.ts';
import { makeServerFolder, startPrivateServer } from '../support/private_server.ts';
import { startTcpProxy, type TcpProxy } from '../support/tcp_proxy.ts';
import { waitFor, within } from '../support/wait.ts';

const LEASE_TTL_MS = 2_000;
const DEADLINE_MS = 30_000;
const FAIL_FAST_MS = 5_000;
const UNAVAILABLE = 14;

/** Stops a server at once, without a checkpoint, as a crash would. */
async function crash(server: EmbeddedPostgres): Promise<void> {
  process.kill(server.pid, 'SIGQUIT');
  // Waits for the end, and gives the folder free for the next start.
  await server.stop();
}

function validForMs({ validFor }: { validFor: { seconds: number; nanos: number } | undefined }): number {
  return validFor!.seconds * 1_000 + validFor!.nanos / 1e6;
}

/** Submits once, and answers how that failed and how long it took. */
async function failedSubmit(world: World, queue: string): Promise<{ error: SkipleaseError; ms: number }> {
  const started = performance.now();
  try {
    await world.submit(queue, 1);
  } catch (error) {
    if (error instanceof SkipleaseError) return { error, ms: performance.now() - started };
    throw error;
  }
  throw new Error('The submit went through.');
}

test('the database is away for longer than the time to live: submits fail fast, workers keep what they hold, nothing is lost', async (t) => {
  const dataFolder = await makeServerFolder();
  const server = await startPrivateServer({ dataFolder });
  await migrate(server.url);
  const world = await startWorld({ coordinators: 2, leaseTtlMs: LEASE_TTL_MS, databaseUrl: server.url });
  const servers = [server];
  const effectsFile = await makeEffectsFile();
  const queue = 'away';
  const worker = startWorkerHere({ addresses: world.addresses, queue, effectsFile, workerId: 'library', concurrency: 4, windowJobs: 4, workMs: 500 });
  t.teardown(async () => {
    await worker.stop();
    await world.end();
    await Promise.all(servers.map((each) => each.stop()));
  });
  const jobIds = await world.submit(queue, 12);
  const byHand = await world.submit('by.hand', 3);
  const stream = await world.worker({ queues: ['by.hand'] });
  const lease = await stream.next('lease');
  t.is(lease.jobs.length, 3);
  // One at the other coordinator too: whichever comes back first must not take the leases of the one that is still away.
  const [elsewhere] = await world.submit('elsewhere', 1);
  const other = await world.worker({ queues: ['elsewhere'] }, 1);
  const otherLease = await other.next('lease');
  await waitFor(async () => (await readEffects(effectsFile)).length > 0, { deadlineMs: DEADLINE_MS, what: 'the worker to work' });

  await crash(server);
  const [reported, open, late] = byHand as [string, string, string];
  stream.send({ $case: 'report', value: { token: lease.token, outcomes: [succeeded(reported)] } });
  const first = await failedSubmit(world, queue);
  t.is(first.error.code, 'UNAVAILABLE', first.error.message);
  t.true(first.error.retryDelayMs! > 0, 'RetryInfo');
  t.true(first.ms < FAIL_FAST_MS, `failed after ${first.ms} ms`);
  // A stranger cannot come in, and is told at once.
  const stranger = new LeaseClient(world.addresses[0]!);
  stranger.send({ $case: 'hello', value: stranger.helloMessage({ queues: ['by.hand'] }) });
  t.is((await stranger.status(FAIL_FAST_MS)).code, UNAVAILABLE);
  // Until what is promised to the worker has run out: both coordinators would have been given up, were anybody there to do it.
  const values: number[] = [];
  await waitFor(
    async () => {
      values.push(validForMs(await stream.heartbeat()));
      return values.at(-1) === 0;
    },
    { deadlineMs: DEADLINE_MS, what: 'the promise to the worker to run out' },
  );
  t.true(values.every((ms, index) => index === 0 || ms <= values[index - 1]!), 'the promise shrinks, and is not renewed');
  const longer = await failedSubmit(world, 'a.queue.that.is.new');
  t.is(longer.error.code, 'UNAVAILABLE');
  t.true(longer.ms < FAIL_FAST_MS, `failed after ${longer.ms} ms`);
  stream.send({ $case: 'report', value: { token: lease.token, outcomes: [succeeded(open)] } });
  t.is(stream.taken('receipt'), undefined, 'no receipt without a commit');

  servers.push(await startPrivateServer({ dataFolder, port: server.port }));
  const receipts = [await stream.next('receipt', DEADLINE_MS), await stream.next('receipt', DEADLINE_MS)];
  t.deepEqual(receipts.flatMap(({ jobs }) => jobs.map(({ jobId, status }) => [jobId, status])).toSorted(), [[reported, 1], [open, 1]].toSorted());
  t.true(validForMs(await waitFor(async () => {
    const alive = await stream.heartbeat();
    return validForMs(alive) > 0 && alive;
  }, { deadlineMs: DEADLINE_MS, what: 'the promise to be renewed' })) <= LEASE_TTL_MS);
  const more = await within(submitUntilItWorks(world, queue), DEADLINE_MS, 'submits to work again');
  const all = [...jobIds, ...more];
  const ended = await world.records.untilEnded(all);
  t.true(ended.every(({ state, attempt }) => state === 'SUCCEEDED' && attempt === 1));
  // Through a whole time to live after the outage nothing is given up: the third job by hand is still held.
  await waitFor(
    async () => (await world.records.rows<{ steady: boolean }>(`select skiplease.now() > max(finished_at) + $1 * interval '1 ms' as steady
      from skiplease.outcome where job_id = any($2::uuid[])`, [LEASE_TTL_MS + 1_000, [reported, open]]))[0]!.steady,
    { deadlineMs: DEADLINE_MS, what: 'a time to live to pass' },
  );
  t.deepEqual((await stream.report(lease.token, [succeeded(late)])).jobs.map(({ status }) => status), [1]);
  t.deepEqual((await other.report(otherLease.token, [succeeded(elsewhere!)])).jobs.map(({ status }) => status), [1]);
  t.deepEqual(await world.records.tried([...all, ...byHand, elsewhere!]), []);
  const effects = await readEffects(effectsFile);
  t.is(effects.filter(({ moment }) => moment === 'begun').length, all.length, 'no handler ran twice');
});

/** What fails with UNAVAILABLE is tried again, as the error asks. */
async function submitUntilItWorks(world: World, queue: string): Promise<string[]> {
  for (;;) {
    try {
      return await world.submit(queue, 3);
    } catch (error) {
      if (!(error instanceof SkipleaseError) || error.code !== 'UNAVAILABLE') throw error;
    }
  }
}

/** A worker by hand that gives each job back once, and then does it. Answers the jobs that it has seen, as they come. */
async function giveBackOnce(world: World, member: number): Promise<Set<string>> {
  const seen = new Set<string>();
  const stream = await world.worker({ queues: ['given.back'], jobs: 20 }, member);
  stream.listen((message) => {
    if (message.$case !== 'lease') return;
    const { token, jobs } = message.value;
    const outcomes = jobs.map(({ id }) => (seen.has(id) ? succeeded(id) : released(id)));
    jobs.forEach(({ id }) => seen.add(id));
    stream.send({ $case: 'report', value: { token, outcomes } });
  });
  return seen;
}

async function canListLeases({ operator }: Member): Promise<boolean> {
  try {
    await operator.leases();
    return true;
  } catch (error) {
    if ((error as { code?: number }).code === UNAVAILABLE) return false;
    throw error;
  }
}

test('each database connection is killed in turn, under load: nothing is lost, each job ends once', async (t) => {
  const world = await startWorld({ coordinators: 2, leaseTtlMs: LEASE_TTL_MS });
  const effectsFile = await makeEffectsFile();
  const queue = 'connections';
  const options = { queue, effectsFile, concurrency: 20, windowJobs: 60, workMs: 5 };
  const workers = world.addresses.map((address, index) => startWorkerHere({ ...options, addresses: [address], workerId: `worker ${index}` }));
  t.teardown(async () => {
    await Promise.all(workers.map((worker) => worker.stop()));
    await world.end();
  });
  const returners = await Promise.all(world.members.map((_, member) => giveBackOnce(world, member)));
  // Each submit is tried until it is answered, with the same ids: that is what makes it harmless.
  const jobIds: string[] = [];
  let going = true;
  const load = world.members.map(async ({ grpcAddress }) => {
    const client = new JobClient({ addresses: [grpcAddress] });
    while (going) {
      const jobs = Array.from({ length: 25 }, (_, index) => ({ queue: index % 5 === 0 ? 'given.back' : queue, type: 'work' }));
      jobIds.push(...(await client.submitMany(jobs)).map(({ id }) => id));
    }
    client.close();
  });
  await waitFor(async () => (await readEffects(effectsFile)).length > 100, { deadlineMs: DEADLINE_MS, what: 'the workers to work' });

  const killed = new Map<string, number>();
  for (const purpose of ['submit', 'claim', 'settle', 'mend', 'rare', 'pulse', 'notify', 'ordinary', 'submit', 'claim', 'settle']) {
    const before = await world.records.countEnded(jobIds);
    // What people ask goes over connections that are opened as they are needed. The one before it may have been killed a moment ago: they ask again.
    await Promise.all(world.members.map((member) => waitFor(() => canListLeases(member), { deadlineMs: DEADLINE_MS, what: 'the leases to be listed' })));
    const [{ count }] = await world.records.rows<{ count: number }>(
      `select count(pg_terminate_backend(pid))::int as count from pg_stat_activity where datname = current_database() and application_name = $1`,
      [`skiplease ${purpose}`]) as [{ count: number }];
    killed.set(purpose, (killed.get(purpose) ?? 0) + count);
    await waitFor(async () => (await world.records.countEnded(jobIds)) > before + 50, { deadlineMs: DEADLINE_MS, what: `work to go on without its connection for '${purpose}'` });
  }
  going = false;
  await Promise.all(load);
  t.log([...killed].map(([purpose, count]) => `${purpose}: ${count}`).join(', '), `${jobIds.length} jobs`);
  for (const [purpose, count] of killed) t.true(count >= 2, `${purpose} was killed`);

  const ended = await world.records.untilEnded(jobIds);
  t.is(new Set(jobIds).size, jobIds.length);
  t.is(ended.length, jobIds.length);
  t.deepEqual(ended.filter(({ state, attempt }) => state !== 'SUCCEEDED' || attempt !== 1), []);
  t.deepEqual(await world.records.tried(jobIds), []);
  const [total] = await world.records.rows<{ jobs: number; outcomes: number }>(
    'select (select count(*)::int from skiplease.job) as jobs, (select count(*)::int from skiplease.outcome) as outcomes');
  t.deepEqual(total, { jobs: jobIds.length, outcomes: jobIds.length }, 'nothing was created twice');
  const done = timesDone(await readEffects(effectsFile));
  const byHand = new Set(returners.flatMap((returned) => [...returned]));
  t.true(jobIds.every((jobId) => byHand.has(jobId) || done.get(jobId) === 1), 'no handler ran twice');
  await waitFor(
    async () => (await world.members[0]!.operator.leases()).length === 0,
    { deadlineMs: DEADLINE_MS, what: 'no lease to be left behind' },
  );
});

/** A coordinator that reaches its database through a proxy, which can swallow the answers of the database. */
async function startBehindProxy(t: ExecutionContext): Promise<{ world: World; proxy: TcpProxy; direct: Records }> {
  const database = await createTestDatabase();
  const url = new URL(database.url);
  const proxy = await startTcpProxy(url.host);
  url.host = proxy.address;
  const world = await startWorld({ leaseTtlMs: LEASE_TTL_MS, databaseUrl: url.href });
  const direct = new Records(database.url);
  t.teardown(async () => {
    await world.end();
    await direct.close();
    await proxy.close();
    await database.drop();
  });
  return { world, proxy, direct };
}

/** From now on the database hears, but is not heard; once it has granted a lease all connections break. */
async function loseTheAnswer(proxy: TcpProxy, direct: Records, act: () => void): Promise<void> {
  proxy.freeze(true, 'to client');
  act();
  await waitFor(
    async () => (await direct.rows('select from skiplease.lease')).length > 0,
    { deadlineMs: DEADLINE_MS, what: 'a lease to be granted, of which the coordinator does not hear' },
  );
  proxy.freeze(false);
  proxy.cut();
}

/** One job from its lease to the end: the connections that this takes are open then, and no lease is left. */
async function workOff(stream: LeaseClient, direct: Records, jobId: string): Promise<void> {
  const { token } = await stream.next('lease');
  await stream.report(token, [succeeded(jobId)]);
  await waitFor(async () => (await direct.rows('select from skiplease.lease')).length === 0, { deadlineMs: DEADLINE_MS, what: 'the settled lease to be swept' });
}

test('a claim whose answer is lost leaves its jobs with nobody: they come back free', async (t) => {
  const { world, proxy, direct } = await startBehindProxy(t);
  const [first] = await world.submit('claimed', 1);
  const stream = await world.worker({ queues: ['claimed'] });
  await workOff(stream, direct, first!);
  stream.window(0);
  await stream.heartbeat();
  const jobIds = await world.submit('claimed', 3);
  await loseTheAnswer(proxy, direct, () => stream.window(10));
  const lease = await stream.next('lease', DEADLINE_MS);
  t.deepEqual(lease.jobs.map(({ id, attempt }) => [id, attempt]), jobIds.map((id) => [id, 1]));
  t.deepEqual((await stream.report(lease.token, jobIds.map((id) => succeeded(id)))).jobs.map(({ status }) => status), [1, 1, 1]);
  t.deepEqual(await direct.tried(jobIds), []);
});

test('a submit straight into a lease, whose answer is lost, is told as failed, and repeated creates nothing twice', async (t) => {
  const { world, proxy, direct } = await startBehindProxy(t);
  // The queue is known and dry: the next submit goes straight into the lease of who waits.
  const stream = await world.worker({ queues: ['handed'] });
  const [first] = await world.submit('handed', 1);
  await workOff(stream, direct, first!);

  const jobs = Array.from({ length: 3 }, () => ({ id: newJobId(), queue: 'handed', type: 'work' }));
  let submitted: Promise<unknown> | undefined;
  await loseTheAnswer(proxy, direct, () => {
    submitted = world.members[0]!.client.submitMany(jobs);
    submitted.catch(() => undefined);
  });
  const error = await t.throwsAsync(submitted!, { instanceOf: SkipleaseError });
  t.like(error, { code: 'UNAVAILABLE' });
  t.true(error.retryDelayMs! > 0);
  const again = new JobClient({ addresses: world.addresses });
  t.deepEqual(await again.submitMany(jobs), jobs.map(({ id }) => ({ id, existing: true })));
  again.close();

  const lease = await stream.next('lease', DEADLINE_MS);
  t.deepEqual(lease.jobs.map(({ id, attempt }) => [id, attempt]).toSorted(), jobs.map(({ id }) => [id, 1]).toSorted());
  await stream.report(lease.token, jobs.map(({ id }) => succeeded(id)));
  const ended = await direct.untilEnded(jobs.map(({ id }) => id));
  t.true(ended.every(({ state, attempt }) => state === 'SUCCEEDED' && attempt === 1));
});
