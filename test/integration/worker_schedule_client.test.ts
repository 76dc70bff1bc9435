/** The client of those who look after schedules. */
import test from 'ava';
import { JobClient, ScheduleClient, SkipleaseError } from '../../worker/index.ts';
import { startWorld } from '../support/lease_world.ts';
import type { ScheduledJob } from '../../worker/index.ts';
import type { World } from '../support/lease_world.ts';

let world: World;
let schedules: ScheduleClient;

test.before(async () => {
  world = await startWorld({ coordinators: 1 });
  schedules = new ScheduleClient({ addresses: world.addresses });
});

test.after.always(async () => {
  schedules?.close();
  await world?.end();
});

test('a schedule comes back as it was put, is listed, paused, resumed, triggered, deleted', async (t) => {
  const job: ScheduledJob = {
    queue: 'mail', type: 'digest', payload: { to: ['a', 'b'] }, contentType: 'application/json', priority: 4, maxAttempts: 2, timeoutMs: 1_500,
    headers: { a: 'b' }, retryPolicy: { initialBackoffMs: 500, factor: 3 }, unique: { key: 'digest', scope: 'QUEUE', onConflict: 'RETURN_EXISTING' },
    serialKey: 's', limitKey: 'l',
  };
  const put = await schedules.put({ name: 'digest', cron: '0 7 * * MON-FRI', timeZone: 'Europe/Berlin', job, overlap: 'SKIP', missedTicks: 'RUN_ALL' });
  const { nextTime, ...rest } = put;
  t.deepEqual(rest, {
    name: 'digest', cron: '0 7 * * MON-FRI', timeZone: 'Europe/Berlin', job, overlap: 'SKIP', missedTicks: 'RUN_ALL', paused: false,
    lastTime: undefined, lastJobId: '', ticksSkipped: 0,
  });
  t.true(nextTime! > new Date());
  t.deepEqual(await schedules.get('digest'), put);
  await schedules.put({ name: 'cleanup', cron: '@daily', job: { queue: 'mail', type: 'cleanup' } });
  const names: string[] = [];
  for await (const { name, missedTicks, overlap } of schedules.list()) names.push(`${name} ${missedTicks} ${overlap}`);
  t.deepEqual(names, ['cleanup RUN_LATEST ALLOW', 'digest RUN_ALL SKIP']);
  t.like(await schedules.pause('digest'), { paused: true, nextTime: undefined });
  const jobs = new JobClient({ addresses: world.addresses });
  t.teardown(() => jobs.close());
  const jobId = await schedules.trigger('digest');
  t.like(await jobs.get(jobId), { type: 'digest', schedule: 'digest', payload: { to: ['a', 'b'] } });
  t.is(await schedules.trigger('digest', jobId), jobId);
  t.is(await schedules.trigger('digest'), jobId, 'the job that has its unique key');
  t.like(await schedules.resume('digest'), { paused: false, nextTime });
  await schedules.delete('digest');
  await t.throwsAsync(schedules.get('digest'), { instanceOf: SkipleaseError, code: 'NOT_FOUND' });
});

test('what the coordinator refuses is named by field', async (t) => {
  const refused = await t.throwsAsync(schedules.put({ name: 'x', cron: 'now and then', job: { queue: 'q', type: 't' } }),
    { instanceOf: SkipleaseError, code: 'INVALID_ARGUMENT' });
  t.deepEqual(refused.fieldViolations.map(({ field }) => field), ['schedule.cron']);
});
