/** A database that takes no writes for a while: nothing is accepted, nobody is stuck on it afterwards. */
import test, { type ExecutionContext } from 'ava';
import { migrate } from '../../coordinator/store/migrate.ts';
import type { SkipleaseError } from '../../worker/index.ts';
import { startWorld, type World } from '../support/lease_world.ts';
import { startPrivateServer } from '../support/private_server.ts';
import { withAdmin } from '../support/run_server.ts';
import { startSteadyLoad } from '../support/steady_load.ts';
import { waitFor } from '../support/wait.ts';

const DEADLINE_MS = 30_000;
const QUEUE = 'read.only';

interface Way {
  /** From now on it is so. Settings of a session are given to it when it begins: `everybody` has to begin anew. */
  begin: string[];
  end: string[];
}

const RELOAD = 'select pg_reload_conf()';
const END_SESSIONS = `select pg_terminate_backend(pid) from pg_stat_activity where application_name like 'skiplease%'`;
const WAYS: Record<string, Way> = {
  'for sessions that are open': {
    begin: ['alter system set default_transaction_read_only = on', RELOAD],
    end: ['alter system reset default_transaction_read_only', RELOAD],
  },
  'for sessions that begin': {
    begin: ['alter database skiplease set default_transaction_read_only = on', END_SESSIONS],
    // Whoever has connected meanwhile stays read-only for as long as it is connected.
    end: ['set default_transaction_read_only = off', 'alter database skiplease reset default_transaction_read_only'],
  },
};

for (const [how, { begin, end }] of Object.entries(WAYS)) {
  test.serial(`read-only ${how}`, async (t) => {
    const world = await startOnPrivateServer(t);
    const load = startSteadyLoad({ addresses: world.addresses, queue: QUEUE, workMs: 10, triesMax: 100 });
    t.teardown(() => load.stop());
    await load.more(100);
    await administer(world, begin);
    const refused = await waitFor(() => refusal(world), { deadlineMs: DEADLINE_MS, what: 'a submit to be refused' });
    t.is(refused.code, 'UNAVAILABLE');
    t.true(refused.retryDelayMs! > 0, 'RetryInfo');
    // Longer than it takes until coordinators have no standing any more.
    await waitFor(async () => (await stillReady(world)).every((ready) => !ready), { deadlineMs: DEADLINE_MS, what: 'coordinators to say that they are not ready' });
    await administer(world, end);
    await load.more(100);
    const accepted = await load.stopSubmitting();
    const ended = await world.records.untilEnded(accepted);
    t.is(ended.length, accepted.length);
    t.deepEqual(ended.filter(({ state, attempt }) => state !== 'SUCCEEDED' || attempt !== 1), []);
    t.deepEqual([...load.begun].filter(([, times]) => times !== 1), [], 'no handler ran twice');
  });
}

async function startOnPrivateServer(t: ExecutionContext): Promise<World> {
  const server = await startPrivateServer();
  await migrate(server.url);
  const world = await startWorld({ coordinators: 2, leaseTtlMs: 2_000, databaseUrl: server.url });
  t.teardown(async () => {
    await world.end();
    await server.stop();
  });
  return world;
}

function administer({ databaseUrl }: World, statements: string[]): Promise<void> {
  return withAdmin(databaseUrl, async (client) => {
    for (const statement of statements) await client.query(statement);
  });
}

async function refusal({ members }: World): Promise<SkipleaseError | undefined> {
  try {
    await members[0]!.client.submit({ queue: QUEUE, type: 'work' });
    return undefined;
  } catch (error) {
    return error as SkipleaseError;
  }
}

function stillReady({ members }: World): Promise<boolean[]> {
  return Promise.all(members.map(async ({ httpAddress }) => (await fetch(`http://${httpAddress}/readyz`)).ok));
}
