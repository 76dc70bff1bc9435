/** Schedules on two coordinators: put, looked at, steered; ticks that overlap, are missed, or fall where clocks change. */
import { status } from '@grpc/grpc-js';
import anyTest from 'ava';
import pg from 'pg';
import { BlockedReason, JobSpec, JobState } from '../../proto/gen/skiplease/v1/job.ts';
import { MissedTicks, Overlap, Schedule } from '../../proto/gen/skiplease/v1/schedule_service.ts';
import { createTestDatabase } from '../support/database.ts';
import type { TestDatabase } from '../support/database.ts';
import { waitFor } from '../support/wait.ts';
import { call, jobSpec, refused, startRpc, succeeded } from '../support/rpc_clients.ts';
import type { Rpc } from '../support/rpc_clients.ts';

/** In their order: each moves the one clock of the database on. */
const test = anyTest.serial;
const DEADLINE_MS = 20_000;
/** Coordinators look four times in it. */
const ENVIRONMENT = { SKIPLEASE_LEASE_TTL_MS: '1000' };

let database: TestDatabase;
let client: pg.Client;
let rpc: Rpc;
let second: Rpc;

test.before(async () => {
  database = await createTestDatabase();
  client = new pg.Client({ connectionString: database.url });
  await client.connect();
  rpc = await startRpc(ENVIRONMENT, database.url);
  second = await startRpc(ENVIRONMENT, database.url);
});
test.after.always(async () => {
  await second?.stop();
  await rpc?.stop();
  await client?.end();
  await database?.drop();
});

const schedule = (fields: Partial<Schedule>): Schedule => ({
  ...Schedule.create({ name: 'nightly', cron: '0 3 * * *' }), job: jobSpec({ queue: 'idle', type: 'report' }), ...fields,
});
const put = async (fields: Partial<Schedule>, on = rpc) => (await call(on.schedules, 'putSchedule', { schedule: schedule(fields) })).schedule!;
const get = async (name: string, on = second) => (await call(on.schedules, 'getSchedule', { name })).schedule!;
const until = (name: string, condition: (schedule: Schedule) => boolean, what: string) => waitFor(async () => {
  const found = await get(name);
  return condition(found) ? found : undefined;
}, { deadlineMs: DEADLINE_MS, what });

/** The database's clock shows this moment, and both coordinators have seen it. */
async function jump(time: string): Promise<void> {
  await client.query(`update skiplease.clock set "offset" = $1::timestamptz - clock_timestamp()`, [time]);
  await waitFor(async () => {
    const { rows } = await client.query('select 1 from skiplease.coordinator where expires_at > skiplease.now()');
    return rows.length === 2;
  }, { deadlineMs: DEADLINE_MS, what: `both coordinators to see that it is ${time}` });
}

/** A worker of one job at a time that stays alive until it is cut. */
async function worker(queue: string) {
  const made = await second.worker({ queues: [queue], jobs: 1 });
  const timer = setInterval(() => made.say({ $case: 'heartbeat', value: { sequence: 1, received: 0 } }), 200).unref();
  return Object.assign(made, { retire: () => (clearInterval(timer), made.cut()) });
}

/** The ticks whose jobs were submitted by a schedule, as the jobs say it, oldest first. */
async function ticksOf(name: string): Promise<string[]> {
  const { rows } = await client.query<{ tick: string }>(
    `select headers->>'skiplease-tick' as tick from skiplease.job where options->>'schedule' = $1 and headers ? 'skiplease-tick' order by id`, [name]);
  return rows.map(({ tick }) => tick);
}

test('a schedule is put, looked at on another coordinator, replaced, deleted', async (t) => {
  await jump('2027-01-10T12:00:30Z');
  const job = jobSpec({ queue: 'reports', type: 'daily', payload: { content: { $case: 'json', value: { pages: [1, 2] } }, contentType: '' },
    headers: { team: 'a' }, priority: 3, retryPolicy: { maxAttempts: 7, initialBackoff: undefined, factor: 3, maxBackoff: undefined, jitter: undefined } });
  const made = await put({ timeZone: 'Europe/Berlin', job });
  t.deepEqual(made, {
    name: 'nightly', cron: '0 3 * * *', timeZone: 'Europe/Berlin', job, missedTicks: MissedTicks.RUN_LATEST, overlap: Overlap.ALLOW, paused: false,
    nextTime: new Date('2027-01-11T02:00:00Z'), lastTime: undefined, lastJobId: '', ticksSkipped: 0,
  });
  t.deepEqual(await get('nightly'), made);
  const replaced = await put({ cron: '@weekly', overlap: Overlap.SKIP, missedTicks: MissedTicks.RUN_ALL });
  t.like(replaced, { cron: '@weekly', timeZone: '', overlap: Overlap.SKIP, missedTicks: MissedTicks.RUN_ALL, nextTime: new Date('2027-01-17T00:00:00Z') });
  await call(second.schedules, 'deleteSchedule', { name: 'nightly' });
  for (const method of ['getSchedule', 'deleteSchedule', 'pauseSchedule', 'resumeSchedule'] as const) {
    t.like(await refused(call(rpc.schedules, method, { name: 'nightly' })), { code: status.NOT_FOUND, reason: 'SCHEDULE_NOT_FOUND' });
  }
  t.like(await refused(call(rpc.schedules, 'triggerSchedule', { name: 'nightly', jobId: '' })), { code: status.NOT_FOUND });
});

test('what cannot be a schedule is refused, each field by its name', async (t) => {
  const bad = await refused(put({
    name: 'two words', cron: '61 * * * *', timeZone: 'Europe/Bern', missedTicks: 9 as MissedTicks, overlap: 9 as Overlap,
    job: jobSpec({ id: 'x', queue: '', priority: 17, start: { $case: 'delay', value: { seconds: 1, nanos: 0 } }, batchId: 'b', afterJobIds: ['a'],
      deadline: { $case: 'startWithin', value: { seconds: 1, nanos: 0 } } }),
  }));
  t.is(bad.code, status.INVALID_ARGUMENT);
  t.deepEqual(bad.violations.map(({ field }) => field), [
    'name', 'cron', 'time_zone', 'missed_ticks', 'overlap', 'job.id', 'job.start', 'job.deadline', 'job.batch_id', 'job.after_job_ids',
    'job.queue', 'job.priority', 'job.batch_id', 'job.after_job_ids[0]',
  ].map((field) => `schedule.${field}`));
  t.regex(bad.violations[1]!.description, /"61 \* \* \* \*" cannot be used \(.*61\): five fields/);
  t.regex(bad.violations[2]!.description, /"Europe\/Bern" cannot be used \(.*\): IANA names such as/);
  for (const cron of ['', '* * * *', '* * * * * * *', '@reboot', '2027-01-01T00:00:00', '0 0 * * MON#9', '*'.repeat(300)]) {
    t.deepEqual((await refused(put({ cron }))).violations.map(({ field }) => field), ['schedule.cron'], cron);
  }
  t.deepEqual((await refused(put({ timeZone: '+01:00' }))).violations.map(({ field }) => field), ['schedule.time_zone']);
  t.deepEqual((await refused(call(rpc.schedules, 'putSchedule', { schedule: undefined }))).violations.map(({ field }) => field), ['schedule']);
  const noJob = { ...schedule({}), job: undefined };
  t.deepEqual((await refused(call(rpc.schedules, 'putSchedule', { schedule: noJob }))).violations.map(({ field }) => field), ['schedule.job']);
});

test('lists go by name, page by page, also when schedules are long', async (t) => {
  const names = Array.from({ length: 7 }, (_, index) => `list-${index}`);
  for (const name of names) {
    await put({ name, job: jobSpec({ payload: { content: { $case: 'data', value: Buffer.alloc(400_000) }, contentType: '' } }) });
  }
  const pages: string[][] = [];
  let pageToken = '';
  do {
    const { schedules, nextPageToken } = await call(second.schedules, 'listSchedules', { pageSize: 5, pageToken });
    pages.push(schedules.map(({ name }) => name));
    pageToken = nextPageToken;
  } while (pageToken !== '');
  t.deepEqual(pages.flat(), names);
  t.deepEqual(pages.map(({ length }) => length), [3, 3, 1], 'a megabyte, and the one that passed it');
  t.like(await refused(call(rpc.schedules, 'listSchedules', { pageSize: 1_001, pageToken: '' })), { code: status.INVALID_ARGUMENT });
  t.like(await refused(call(rpc.schedules, 'listSchedules', { pageSize: 0, pageToken: 'x' })), { code: status.INVALID_ARGUMENT });
  await Promise.all(names.map((name) => call(rpc.schedules, 'deleteSchedule', { name })));
});

test('each second is one job, in time, whichever coordinator looks; the job tells its schedule and tick', async (t) => {
  await put({ name: 'each-second', cron: '* * * * * *', missedTicks: MissedTicks.RUN_ALL, job: jobSpec({ queue: 'seconds', type: 'tick', headers: { a: 'b' } }) });
  await waitFor(async () => (await ticksOf('each-second')).length >= 3, { deadlineMs: DEADLINE_MS, what: 'three ticks' });
  await call(second.schedules, 'pauseSchedule', { name: 'each-second' });
  const ticks = await ticksOf('each-second');
  const firstMs = Date.parse(ticks[0]!);
  t.deepEqual(ticks, ticks.map((_, index) => new Date(firstMs + index * 1_000).toISOString()), 'no gap, none twice');
  const paused = await get('each-second');
  t.like(paused, { paused: true, nextTime: undefined, lastTime: new Date(ticks.at(-1)!), ticksSkipped: 0 });
  const job = await rpc.get(paused.lastJobId);
  t.like(job, { schedule: 'each-second', type: 'tick', state: JobState.READY, headers: { 'skiplease-tick': ticks.at(-1)!, a: 'b' } });
  const { rows } = await client.query<{ late: number }>(
    `select min(date_part('epoch', skiplease.uuid_time(id) - (headers->>'skiplease-tick')::timestamptz)) as late
       from skiplease.job where options->>'schedule' = 'each-second'`);
  t.true(rows[0]!.late < 1, `${rows[0]!.late} s late`);
});

test('the job of a tick has what its spec asks for, keys as well', async (t) => {
  const retryPolicy = { maxAttempts: 5, initialBackoff: { seconds: 2, nanos: 0 }, factor: undefined, maxBackoff: undefined, jitter: undefined };
  await put({ name: 'serial', cron: '* * * * * *', job: jobSpec({ queue: 'serial', serialKey: 'one', retryPolicy }) });
  await waitFor(async () => (await ticksOf('serial')).length >= 2, { deadlineMs: DEADLINE_MS, what: 'two ticks' });
  await call(rpc.schedules, 'deleteSchedule', { name: 'serial' });
  const { rows } = await client.query<{ id: string }>(`select id from skiplease.job where options->>'schedule' = 'serial' order by id`);
  const [first, next] = await Promise.all(rows.slice(0, 2).map(({ id }) => rpc.get(id)));
  t.like(first!, { state: JobState.READY, serialKey: 'one', maxAttempts: 5, schedule: 'serial' });
  t.like(first!.retryPolicy!, { initialBackoff: { seconds: 2, nanos: 0 } });
  t.like(next!, { state: JobState.BLOCKED, serialKey: 'one', blockedReason: BlockedReason.SERIAL_KEY });
});

test('while it is paused nothing ticks and nothing is missed; a trigger works, and counts no tick', async (t) => {
  await jump('2027-01-20T00:00:30Z');
  t.like(await get('each-second'), { ticksSkipped: 0, nextTime: undefined });
  const before = await ticksOf('each-second');
  const { jobId } = await call(rpc.schedules, 'triggerSchedule', { name: 'each-second', jobId: '' });
  t.is((await call(second.schedules, 'triggerSchedule', { name: 'each-second', jobId })).jobId, jobId, 'a repeat is harmless');
  t.like(await rpc.get(jobId), { queue: 'seconds', type: 'tick', schedule: 'each-second', headers: { a: 'b' } });
  const refusal = await refused(call(rpc.schedules, 'triggerSchedule', { name: 'each-second', jobId: 'x' }));
  t.deepEqual(refusal.violations.map(({ field }) => field), ['job_id']);
  const resumed = (await call(rpc.schedules, 'resumeSchedule', { name: 'each-second' })).schedule!;
  t.true(!resumed.paused && resumed.nextTime! >= new Date('2027-01-20T00:00:30Z'));
  await until('each-second', ({ lastTime }) => lastTime! >= resumed.nextTime!, 'a tick after the pause');
  await call(rpc.schedules, 'deleteSchedule', { name: 'each-second' });
  const after = (await ticksOf('each-second')).slice(before.length);
  t.is(after[0], resumed.nextTime!.toISOString(), 'the first one is what it said');
  t.like(await rpc.get(jobId), { id: jobId }, 'jobs of a deleted schedule stay');
});

test('ticks missed while nobody looked: the latest, all or none', async (t) => {
  await jump('2027-02-01T00:00:30Z');
  const policies = { latest: MissedTicks.RUN_LATEST, all: MissedTicks.RUN_ALL, none: MissedTicks.SKIP };
  for (const [name, missedTicks] of Object.entries(policies)) {
    await put({ name: `missed-${name}`, cron: '0 */6 * * *', missedTicks });
  }
  await jump('2027-02-02T13:00:00Z');
  const times = ['01T06', '01T12', '01T18', '02T00', '02T06', '02T12'].map((time) => `2027-02-${time}:00:00.000Z`);
  const expected = { latest: times.slice(-1), all: times, none: [] };
  for (const name of ['latest', 'all', 'none'] as const) {
    const { ticksSkipped } = await until(`missed-${name}`, ({ nextTime }) => nextTime!.getTime() === Date.parse('2027-02-02T18:00:00Z'), `missed-${name} to look on`);
    t.deepEqual(await ticksOf(`missed-${name}`), expected[name]);
    t.is(ticksSkipped, 6 - expected[name].length);
  }
  await jump('2027-02-02T18:00:20Z');
  await until('missed-none', ({ lastTime }) => lastTime?.getTime() === Date.parse('2027-02-02T18:00:00Z'), 'what is less than a minute late to run');
});

test('after a long absence a thousand jobs of large payloads come in several commits, in their order', async (t) => {
  await put({ name: 'large', cron: '* * * * *', missedTicks: MissedTicks.RUN_ALL,
    job: jobSpec({ queue: 'idle', payload: { content: { $case: 'data', value: Buffer.alloc(6_000) }, contentType: '' } }) });
  await jump('2027-02-05T00:00:30Z');
  await until('large', ({ lastTime, nextTime }) => lastTime?.getTime() === Date.parse('2027-02-05T00:00:00Z') && nextTime! > lastTime, 'all to have run');
  const ticks = await ticksOf('large');
  t.is(ticks.length, 1_000);
  t.deepEqual(ticks, ticks.map((_, index) => new Date(Date.parse('2027-02-05T00:00:00Z') - (999 - index) * 60_000).toISOString()));
  await call(rpc.schedules, 'deleteSchedule', { name: 'large' });
});

test('a tick while the job before is not final is a job of its own, is skipped, or replaces that job, whose worker is told', async (t) => {
  const names = ['allow', 'skip', 'replace'] as const;
  const overlaps = { allow: Overlap.ALLOW, skip: Overlap.SKIP, replace: Overlap.REPLACE };
  const workers = { skip: await worker('skip'), replace: await worker('replace') };
  await Promise.all(names.map((name) => put({ name, overlap: overlaps[name], cron: '* * * * * *', job: jobSpec({ queue: name }) })));
  const [skipping, replaced] = await Promise.all([workers.skip.lease(), workers.replace.lease()]);
  const told = await workers.replace.next('cancel');
  t.deepEqual(told.jobIds, [replaced.jobs[0]!.id]);
  const cancelled = await rpc.get(replaced.jobs[0]!.id);
  t.deepEqual([cancelled.state, cancelled.error?.message], [JobState.CANCELLED, 'Replaced by the next tick of the schedule replace.']);
  const [skippingId, tick] = [skipping.jobs[0]!.id, skipping.jobs[0]!.headers['skiplease-tick']!];
  const passedOver = await until('skip', ({ ticksSkipped }) => ticksSkipped >= 2, 'two ticks to be passed over');
  t.like(passedOver, { lastJobId: skippingId, lastTime: new Date(tick) });
  await workers.skip.report(skipping.token, [succeeded(skippingId)]);
  const next = (await workers.skip.lease()).jobs[0]!;
  t.true(Date.parse(next.headers['skiplease-tick']!) >= Date.parse(tick) + 3_000, 'the first tick after it was final');
  await Promise.all(names.map((name) => call(rpc.schedules, 'deleteSchedule', { name })));
  t.deepEqual(await ticksOf('skip'), [tick, next.headers['skiplease-tick']]);
  const ids = async (name: string) => (await client.query<{ id: string }>(
    `select id from skiplease.job where options->>'schedule' = $1 order by id`, [name])).rows.map(({ id }) => id);
  const states = async (name: string) => Promise.all((await ids(name)).map(async (id) => (await rpc.get(id)).state));
  t.true((await states('allow')).length >= 3 && (await states('allow')).every((state) => state === JobState.READY));
  const replacing = await states('replace');
  t.true(replacing.length >= 3 && replacing.slice(0, -1).every((state) => state === JobState.CANCELLED), 'all but the last');
  Object.values(workers).forEach((one) => one.retire());
});

/** The ticks of lines between two moments, as month, day, hour and minute of UTC. */
async function ticksBetween(lines: Record<string, [timeZone: string, cron: string]>, from: string, to: string): Promise<Record<string, string[]>> {
  await jump(from);
  await Promise.all(Object.entries(lines).map(([name, [timeZone, cron]]) => put({ name, timeZone, cron, missedTicks: MissedTicks.RUN_ALL })));
  await jump(to);
  const ticks = await Promise.all(Object.keys(lines).map(async (name) => {
    await until(name, ({ nextTime }) => nextTime! > new Date(to), `${name} to be done before ${to}`);
    await call(rpc.schedules, 'deleteSchedule', { name });
    return [name, (await ticksOf(name)).map((tick) => tick.slice(5, 16))];
  }));
  return Object.fromEntries(ticks) as Record<string, string[]>;
}

test('where clocks are set forward a tick of the skipped hour runs when they have moved, and where they are set back once', async (t) => {
  const berlin: [string, string][] = [['Europe/Berlin', '30 2 * * *'], ['Europe/Berlin', '*/30 2,3 * * *']];
  t.deepEqual(await ticksBetween({ spring: berlin[0]!, steps: berlin[1]! }, '2027-03-27T12:00:00Z', '2027-03-29T12:00:00Z'), {
    spring: ['03-28T01:00', '03-29T00:30'],
    steps: ['03-28T01:00', '03-28T01:30', '03-29T00:00', '03-29T00:30', '03-29T01:00', '03-29T01:30'],
  }, 'at three, since there is no half past two; a line of steps leaves out what is skipped');
  t.deepEqual(await ticksBetween({ half: ['Australia/Lord_Howe', '45 1 * * *'] }, '2027-04-02T16:00:00Z', '2027-04-04T20:00:00Z'),
    { half: ['04-03T14:45', '04-04T15:15'] }, 'the half hour that comes twice');
  t.deepEqual(await ticksBetween({ autumn: berlin[0]!, autumn_steps: berlin[1]! }, '2027-10-30T12:00:00Z', '2027-10-31T12:00:00Z'), {
    autumn: ['10-31T00:30'],
    autumn_steps: ['10-31T00:00', '10-31T00:30', '10-31T01:00', '10-31T01:30', '10-31T02:00', '10-31T02:30'],
  }, 'once; a line of steps in both hours');
  t.deepEqual(await ticksBetween({ new_york: ['America/New_York', '30 1 * * *'] }, '2027-11-06T12:00:00Z', '2027-11-08T12:00:00Z'),
    { new_york: ['11-07T05:30', '11-08T06:30'] });
});

test('a job that its tick cannot submit is skipped, and holds up no other', async (t) => {
  await jump('2027-12-01T00:00:30Z');
  await put({ name: 'a-broken', cron: '*/5 * * * *' });
  await put({ name: 'b-whole', cron: '*/5 * * * *' });
  await client.query(`update skiplease.schedule set spec = $1 where name = 'a-broken'`, [Buffer.from(JobSpec.encode(jobSpec({ queue: 'no name' })).finish())]);
  await jump('2027-12-01T00:05:01Z');
  await until('b-whole', ({ lastTime }) => lastTime !== undefined, 'the whole one to tick');
  t.like(await get('a-broken'), { ticksSkipped: 1, lastJobId: '', nextTime: new Date('2027-12-01T00:10:00Z') });
  const metrics = await (await fetch(`http://${rpc.coordinator.httpAddress}/metrics`)).text()
    + await (await fetch(`http://${second.coordinator.httpAddress}/metrics`)).text();
  t.regex(metrics, /skiplease_ticks_total\{result="run"\} [1-9]/);
  t.regex(metrics, /skiplease_ticks_total\{result="skipped"\} [1-9]/);
});
