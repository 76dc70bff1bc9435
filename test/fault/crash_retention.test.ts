/** Whoever drops old partitions is killed in the middle of it: nothing is lost, nothing is there twice, and the next one goes on. */
import test, { type ExecutionContext } from 'ava';
import pg from 'pg';
import { v7 as uuidv7 } from 'uuid';
import { migrate } from '../../coordinator/store/migrate.ts';
import { newJobs, rowsOf } from '../support/store_jobs.ts';
import { carryOverAll, databaseNowMs, letDaysPass, startRetirer } from '../support/store_retention.ts';
import { startPrivateServer } from '../support/private_server.ts';
import { startScript } from '../support/processes.ts';
import { StoreWorld } from '../support/store_world.ts';
import { waitFor } from '../support/wait.ts';

const RETENTION = { days: 2, failedDays: 5 };
const DEADLINE_MS = 20_000;
/** Their outcomes; undefined: not final. */
const STATES = [4, 4, 4, 5, 6, undefined, undefined] as const;

/** Old jobs of every kind, made so many days ago. Returns the ids that must stay, and of those the first that is not final. */
async function oldJobs(world: StoreWorld, days: number): Promise<{ kept: string[]; unfinished: string }> {
  const { store } = world.coordinator();
  const msecs = Math.floor(await databaseNowMs(world));
  const jobs = newJobs(STATES.length * 20).map((job) => ({ ...job, id: uuidv7({ msecs }) }));
  await store.submit(rowsOf(await world.queue(), jobs));
  const stateOf = (index: number) => STATES[index % STATES.length];
  const final = jobs.map(({ id }, index) => ({ id, state: stateOf(index) })).filter(({ state }) => state !== undefined);
  await end(world, final.map(({ id }) => id), final.map(({ state }) => state!));
  await letDaysPass(world, store, days);
  const kept = jobs.filter((_, index) => stateOf(index) === undefined || stateOf(index) === 5).map(({ id }) => id).toSorted();
  return { kept, unfinished: jobs[STATES.indexOf(undefined)]!.id };
}

async function end(world: StoreWorld, ids: string[], states: number[]): Promise<void> {
  await world.rows(`insert into skiplease.outcome (job_id, finished_at, state, attempt)
    select id, skiplease.now(), state, 1 from unnest($1::uuid[], $2::int2[]) as i (id, state)`, [ids, states]);
}

async function checkKept(t: ExecutionContext, world: StoreWorld, kept: string[]): Promise<void> {
  t.deepEqual((await world.rows<{ id: string }>('select id from skiplease.job order by id')).map(({ id }) => id), kept);
  t.is(await world.value(`select count(*)::int from pg_class where relkind = 'r' and not relispartition and relname ~ '^(job|outcome|attempt)_'`), 0, 'nothing is left over');
  t.is(await world.value(`select count(*)::int from pg_trigger where tgname = 'carry_over'`), 0);
}

test('the coordinator is killed when it has copied, and before it could exchange', async (t) => {
  const world = await StoreWorld.open();
  try {
    const { kept, unfinished } = await oldJobs(world, 4);
    const reader = await world.client();
    await reader.query('begin; select count(*) from skiplease.job');
    const killed = await startScript(new URL('../support/store_retire_once.ts', import.meta.url).pathname, [world.url, '2', '5'], {});
    const connections = (having: string) => world.value<number>(
      `select count(*)::int from pg_stat_activity where application_name = 'skiplease retention' and datname = current_database() and ${having}`);
    await waitFor(async () => (await connections(`query like '%swap_lowest%'`)) > 0, { deadlineMs: DEADLINE_MS, what: 'it to ask for the tables' });
    killed.kill('SIGKILL');
    await killed.exited;
    await waitFor(async () => (await connections('true')) === 0, { deadlineMs: DEADLINE_MS, what: 'its lock to be free' });
    // Nobody is there to see it, but for the trigger.
    await end(world, [unfinished], [4]);
    await reader.query('rollback');
    t.is(await world.count('job'), STATES.length * 20);

    const next = startRetirer(world.url, RETENTION);
    await next.run();
    t.is(next.dropped().length, 1);
    await next.stop();
    await checkKept(t, world, kept);
    t.is(await world.count('outcome', 'job_id = $1 and state = 4', [unfinished]), 1);
  } finally {
    await world.close();
  }
});

test('its connection is cut in the middle of copying', async (t) => {
  const world = await StoreWorld.open();
  try {
    const { kept } = await oldJobs(world, 4);
    const cut = startRetirer(world.url, RETENTION);
    const retirement = (await cut.store.retire())!;
    await retirement.prepare();
    await retirement.carryOver(50);
    await world.rows(`select pg_terminate_backend(pid) from pg_stat_activity where application_name = 'skiplease retention' and datname = current_database()`);
    await t.throwsAsync(retirement.carryOver(50));
    await retirement.close();
    await cut.run();
    t.is(cut.dropped().length, 1, cut.log.lines.map(({ message }) => message).join());
    await cut.stop();
    await checkKept(t, world, kept);
  } finally {
    await world.close();
  }
});

test('PostgreSQL is killed in the middle of the exchange', async (t) => {
  const server = await startPrivateServer();
  await migrate(server.url);
  const world = StoreWorld.on(server.url);
  try {
    const { kept } = await oldJobs(world, 4);
    const retirer = startRetirer(server.url, RETENTION);
    const retirement = (await retirer.store.retire())!;
    await retirement.prepare();
    await carryOverAll(retirement);
    // Some partitions are dropped already when it comes to this one.
    const lowest = await world.value<string>(`select inhrelid::regclass from pg_inherits where inhparent = 'skiplease.attempt'::regclass order by pg_get_expr((select relpartbound from pg_class where oid = inhrelid), inhrelid) like '%MINVALUE%' desc limit 1`);
    const holder = await world.client();
    await holder.query(`begin; lock table ${lowest} in access share mode`);
    const pid = await world.value<number>(`select pid from pg_stat_activity where application_name = 'skiplease retention'`);
    const waiting = async () => (await world.value<string | null>('select wait_event_type from pg_stat_activity where pid = $1', [pid])) === 'Lock';
    for (let killed = false; !killed;) {
      let ended = false;
      const swap = retirement.swap().catch(() => 'killed').finally(() => {
        ended = true;
      });
      await waitFor(async () => ended || waiting(), { deadlineMs: DEADLINE_MS, what: 'it to wait' });
      if (await waiting()) process.kill(pid, 'SIGKILL');
      killed = (await swap) === 'killed';
    }
    await retirement.close();
    const after = new pg.Pool({ connectionString: server.url, max: 1 });
    after.on('error', () => {});
    await waitFor(() => after.query('select 1').then(() => true, () => false), { deadlineMs: DEADLINE_MS, what: 'PostgreSQL to be back' });
    await after.end();
    t.is(await world.count('job'), STATES.length * 20, 'nothing has changed');
    await retirer.run();
    t.is(retirer.dropped().length, 1);
    await retirer.stop();
    await checkKept(t, world, kept);
  } finally {
    await world.close();
    await server.stop();
  }
});
