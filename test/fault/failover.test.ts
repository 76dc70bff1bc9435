/** A standby takes over from the database: what is kept, what may be lost, and that everybody goes on by themselves. */
import test, { type ExecutionContext } from 'ava';
import { migrate } from '../../coordinator/store/migrate.ts';
import { JobClient, type SkipleaseError } from '../../worker/index.ts';
import { LeaseClient, succeeded } from '../support/lease_client.ts';
import { startWorld, type Member, type World } from '../support/lease_world.ts';
import { startPrivateServer } from '../support/private_server.ts';
import { startStandby, type Standby } from '../support/standby.ts';
import { startSteadyLoad } from '../support/steady_load.ts';
import { startTcpProxy, type TcpProxy } from '../support/tcp_proxy.ts';
import { waitFor } from '../support/wait.ts';

const LEASE_TTL_MS = 2_000;
const DEADLINE_MS = 30_000;
/** Until what was submitted last is done, once the new primary takes writes. A job that a wrong mark hides takes a minute. */
const DONE_MS_MAX = 20_000;
const QUEUE = 'steady';
const LEASE_LOST = 3;

interface Pair {
  world: World;
  standby: Standby;
  /** From the primary to the standby. */
  stream: TcpProxy;
  /** Resolves once the standby has all that was committed by now. */
  caughtUp(): Promise<void>;
  /** The primary crashes. Resolves once the standby, promoted, is where coordinators find their database. */
  failOver(): Promise<void>;
}

/** Two coordinators whose database has a standby. Where they find it can be changed under their feet, as a virtual address is. */
async function startPair(t: ExecutionContext): Promise<Pair> {
  const primary = await startPrivateServer();
  await migrate(primary.url);
  const url = new URL(primary.url);
  const [stream, found] = await Promise.all([startTcpProxy(url.host), startTcpProxy(url.host)]);
  const standby = await startStandby(primary, { through: stream.address });
  url.host = found.address;
  const world = await startWorld({ coordinators: 2, leaseTtlMs: LEASE_TTL_MS, databaseUrl: url.href });
  t.teardown(async () => {
    await world.end();
    await Promise.all([stream.close(), found.close()]);
    await Promise.all([primary.stop(), standby.server.stop()]);
  });
  return {
    world,
    standby,
    stream,
    caughtUp: async () => {
      const [{ at } = { at: '' }] = await world.records.rows<{ at: string }>('select pg_current_wal_lsn()::text as at');
      await waitFor(async () => (await world.records.rows<{ there: boolean }>(
        'select coalesce(bool_or(flush_lsn >= $1::pg_lsn), false) as there from pg_stat_replication', [at]))[0]!.there, { deadlineMs: DEADLINE_MS, what: 'the standby to catch up' });
    },
    failOver: async () => {
      process.kill(primary.pid, 'SIGQUIT');
      await primary.stop();
      found.aim(new URL(standby.server.url).host);
      found.cut();
      // A standby answers, but takes no writes: for as long as it is one, nothing is accepted.
      await waitFor(async () => (await refusal(world)) === 'DATABASE_READ_ONLY', { deadlineMs: DEADLINE_MS, what: 'coordinators to find the standby' });
      await standby.promote();
    },
  };
}

/** Why a submit is refused; undefined: it was accepted. */
async function refusal(world: World): Promise<string | undefined> {
  try {
    await world.members[0]!.client.submit({ queue: 'refused', type: 'never' });
    return undefined;
  } catch (error) {
    return (error as SkipleaseError).reason;
  }
}

/** To this coordinator alone, until it accepts it. */
async function submitTo({ grpcAddress }: Member, queue: string): Promise<string> {
  const client = new JobClient({ addresses: [grpcAddress] });
  try {
    return (await client.submit({ queue, type: 'work' })).id;
  } finally {
    client.close();
  }
}

test.serial('synchronous: nothing that was accepted is lost, no attempt is spent, no handler runs twice', async (t) => {
  const { world, standby, stream, failOver } = await startPair(t);
  await standby.makeSynchronous();
  const load = startSteadyLoad({ addresses: world.addresses, queue: QUEUE, workMs: 20, triesMax: 30 });
  t.teardown(() => load.stop());
  await load.more(300);
  // The standby hears nothing any more: what is committed from here on is not answered, not even past the coordinators' time limits.
  stream.freeze(true);
  await waitFor(() => refusal(world), { deadlineMs: DEADLINE_MS, what: 'a submit to be refused' });
  await failOver();
  await load.more(300);
  const accepted = await load.stopSubmitting();
  const ended = await world.records.untilEnded(accepted, DONE_MS_MAX);
  t.log(`${accepted.length} jobs`);
  t.is(ended.length, accepted.length);
  t.deepEqual(ended.filter(({ state, attempt }) => state !== 'SUCCEEDED' || attempt !== 1), []);
  t.deepEqual(await world.records.tried(accepted), []);
  t.deepEqual([...load.begun].filter(([, times]) => times !== 1), [], 'no handler ran twice');
});

test.serial('asynchronous: the last moments may be lost, and all else holds', async (t) => {
  const { world, stream, caughtUp, failOver } = await startPair(t);
  const [first, second] = world.members;
  const load = startSteadyLoad({ addresses: world.addresses, queue: QUEUE, workMs: 20, triesMax: 30 });
  t.teardown(() => load.stop());
  const [held] = await world.submit('by.hand', 1);
  await load.more(300);
  const safe = [...load.accepted];
  await caughtUp();

  // From here on nothing reaches the standby: jobs, queues, leases and outcomes of which nobody will know.
  stream.freeze(true);
  await load.more(300);
  await world.submit('lost.queue', 1);
  const stale = await world.worker({ queues: ['by.hand'] }, 1);
  const staleLease = await stale.next('lease');
  await failOver();

  // Numbers that were given out are given out again. Whoever remembers the old ones must not take the new for them.
  const elsewhere = await submitTo(second!, 'new.queue');
  const again = await submitTo(first!, 'lost.queue');
  const places = await world.records.rows<{ id: string; name: string }>(
    'select j.id, q.name from skiplease.job j join skiplease.queue q on q.id = j.queue_id where j.id = any($1::uuid[])', [[elsewhere, again]]);
  t.deepEqual(new Map(places.map(({ id, name }) => [id, name])), new Map([[elsewhere, 'new.queue'], [again, 'lost.queue']]));
  for (const [queue, jobId] of [['new.queue', elsewhere], ['lost.queue', again]] as const) {
    const taker = await world.worker({ queues: [queue] });
    const lease = await taker.next('lease');
    t.deepEqual(lease.jobs.map(({ id }) => id), [jobId]);
    await taker.report(lease.token, [succeeded(jobId)]);
  }

  // A lease that was lost is lost: its holder changes nothing, and the job goes to somebody else.
  const resumed = new LeaseClient(second!.grpcAddress);
  t.deepEqual((await resumed.hello({ queues: ['other'], instanceId: stale.instanceId, heldTokens: [staleLease.token] })).lostTokens, [staleLease.token]);
  t.deepEqual((await resumed.report(staleLease.token, [succeeded(held!)])).jobs.map(({ status }) => status), [LEASE_LOST]);
  await resumed.leave();
  const heir = await world.worker({ queues: ['by.hand'] });
  const heirLease = await heir.next('lease');
  t.deepEqual(heirLease.jobs.map(({ id }) => id), [held]);
  t.true(BigInt(heirLease.token.split('.')[0]!) > BigInt(staleLease.token.split('.')[0]!), 'the ids of leases only ever grow');
  await heir.report(heirLease.token, [succeeded(held!)]);

  await load.more(300);
  const accepted = await load.stopSubmitting();
  const there = new Set((await world.records.rows<{ id: string }>('select id from skiplease.job where id = any($1::uuid[])', [accepted])).map(({ id }) => id));
  t.deepEqual(safe.filter((id) => !there.has(id)), [], 'what the standby had received is not lost');
  const lost = accepted.filter((id) => !there.has(id));
  t.log(`${lost.length} of ${accepted.length} jobs were lost`);
  // Of the 300 that were accepted meanwhile a submit or two may have been committed before.
  t.true(lost.length >= 250, 'what it had not received is lost');

  // Who keeps its ids sends everything again: what is there is not created twice, what was lost is made good.
  const client = new JobClient({ addresses: world.addresses });
  t.teardown(() => client.close());
  const answers = await client.submitMany(accepted.map((id) => ({ id, queue: QUEUE, type: 'work' })));
  t.deepEqual(answers.filter(({ existing }) => !existing).map(({ id }) => id), lost);
  const ended = await world.records.untilEnded(accepted, DONE_MS_MAX);
  t.is(ended.length, accepted.length, 'each has one outcome, and none is stuck');
  t.true(ended.every(({ state }) => state === 'SUCCEEDED'));
  await waitFor(async () => (await world.records.rows('select from skiplease.lease')).length === 0, { deadlineMs: DEADLINE_MS, what: 'no lease to be left behind' });
  const [left] = await world.records.rows('select (select count(*)::int from skiplease.ready) as ready, (select count(*)::int from skiplease.scheduled) as scheduled');
  t.deepEqual(left, { ready: 0, scheduled: 0 });
});
