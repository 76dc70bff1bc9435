/** Coordinators are killed in the midst of ticks: each tick still submits exactly one job. */
import anyTest from 'ava';
import pg from 'pg';
import { createTestDatabase } from '../support/database.ts';
import { startEngine } from '../support/store_engine.ts';
import { StoreWorld } from '../support/store_world.ts';
import { waitFor } from '../support/wait.ts';
import { JobSpec } from '../../proto/gen/skiplease/v1/job.ts';
import { MissedTicks, Schedule } from '../../proto/gen/skiplease/v1/schedule_service.ts';
import type { Store } from '../../coordinator/store/store.ts';
import { call, jobSpec, startRpc } from '../support/rpc_clients.ts';

const SCHEDULES = 30;
const KILLS = 3;
const ENVIRONMENT = { SKIPLEASE_LEASE_TTL_MS: '1000' };

anyTest('kill after kill, every second has its job, once', async (t) => {
  const database = await createTestDatabase();
  const client = new pg.Client({ connectionString: database.url });
  await client.connect();
  const steady = await startRpc(ENVIRONMENT, database.url);
  const victims = await Promise.all(Array.from({ length: KILLS }, () => startRpc(ENVIRONMENT, database.url)));
  t.teardown(async () => {
    await Promise.all(victims.map((victim) => victim.stop()));
    await steady.stop();
    await client.end();
    await database.drop();
  });
  const names = Array.from({ length: SCHEDULES }, (_, index) => `s${index}`);
  await Promise.all(names.map((name) => call(steady.schedules, 'putSchedule', { schedule: {
    ...Schedule.create({ name, cron: '* * * * * *', missedTicks: MissedTicks.RUN_ALL }), job: jobSpec({ queue: 'idle', type: 'tick' }),
  } })));
  const uncommitted = () => client.query<{ pid: number }>(
    `select pid from pg_stat_activity where datname = current_database() and application_name = 'skiplease special' and xact_start is not null`);
  let midway = 0;
  for (const victim of victims) {
    await waitFor(async () => (await uncommitted()).rows.length > 0, { deadlineMs: 10_000, what: 'ticks to be under way' });
    midway += 1;
    victim.coordinator.kill('SIGKILL');
    await victim.coordinator.exited;
  }
  t.log(`${midway} ticks were under way at ${KILLS} kills`);
  const jobs = async () => Number((await client.query<{ count: string }>('select count(*) from skiplease.job')).rows[0]!.count);
  const killedAt = await jobs();
  await waitFor(async () => (await jobs()) >= killedAt + 2 * SCHEDULES, { deadlineMs: 10_000, what: 'ticks to go on' });
  await client.query('update skiplease.schedule set paused = true, next_at = null');
  const { rows } = await client.query<{ name: string; jobs: number; ticks: number; seconds: number; same: boolean; placed: number }>(`
    select j.name, count(*)::int as jobs, count(distinct tick)::int as ticks, (extract(epoch from max(tick) - min(tick)) + 1)::int as seconds,
           max(tick) = s.last_at and (array_agg(j.id order by j.id desc))[1] = s.last_job_id and s.ticks_skipped = 0 as same, count(r.job_id)::int as placed
      from (select id, options->>'schedule' as name, (headers->>'skiplease-tick')::timestamptz as tick from skiplease.job) j
      join skiplease.schedule s on s.name = j.name left join skiplease.ready r on r.job_id = j.id
     group by j.name, s.name`);
  t.is(rows.length, SCHEDULES);
  t.deepEqual(rows.filter((row) => row.jobs !== row.ticks), [], 'none twice');
  t.deepEqual(rows.filter((row) => row.ticks !== row.seconds), [], 'none left out');
  t.deepEqual(rows.filter(({ same }) => !same), [], 'the schedule knows its last one');
  t.deepEqual(rows.filter((row) => row.placed !== row.jobs), [], 'each job waits for a worker');
});

for (const [moment, breaks] of Object.entries({
  'before its commit': (store: Store, die: () => Promise<never>) => (store.nextTickInMs = die),
  'after its commit': (store: Store, die: () => Promise<never>) => {
    const { tick } = store;
    store.tick = async (work) => {
      await tick.call(store, work);
      return die();
    };
  },
})) {
  anyTest(`a coordinator that dies in its tick, ${moment}, leaves one job all the same`, async (t) => {
    const world = await StoreWorld.open();
    const dying = await startEngine(world.url);
    const living = await startEngine(world.url);
    t.teardown(async () => {
      await living.stop();
      await world.close();
    });
    let died = false;
    breaks(dying.store, async () => {
      died = true;
      await dying.abandon();
      throw new Error('It died.');
    });
    // Whoever looks first: here it is the one that dies.
    const { lockDueSchedules } = living.store;
    living.store.lockDueSchedules = (run) => (died ? lockDueSchedules(run) : Promise.resolve({ nowMs: 0, due: [] }));
    const spec = Buffer.from(JobSpec.encode(jobSpec({ queue: 'idle' })).finish());
    await world.rows(`insert into skiplease.schedule (name, cron, time_zone, spec, missed_ticks, overlap, paused, next_at)
      values ('daily', '@daily', '', $1, 1, 1, false, date_trunc('day', skiplease.now()))`, [spec]);
    await waitFor(async () => died && await world.count('schedule', 'next_at > skiplease.now()') === 1, { deadlineMs: 10_000, what: 'the tick to be over' });
    t.is(await world.count('job'), 1);
    t.is(await world.count('ready'), 1);
    t.is(await world.value('select last_job_id from skiplease.schedule'), await world.value('select id from skiplease.job'));
  });
}
