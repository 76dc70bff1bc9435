/** The client of those who look after queues, against two coordinators. */
import test from 'ava';
import { JobClient, QueueClient, SkipleaseError } from '../../worker/index.ts';
import type { QueueSnapshot } from '../../worker/index.ts';
import { startWorld } from '../support/lease_world.ts';
import type { World } from '../support/lease_world.ts';

let world: World;
let queues: QueueClient;

test.before(async () => {
  world = await startWorld({ coordinators: 2 });
  queues = new QueueClient({ addresses: world.addresses });
});

test.after.always(async () => {
  queues?.close();
  await world?.end();
});

test('settings are changed and read back; what is left out stays', async (t) => {
  const { settings } = await queues.update('set', { leaseJobsMax: 7, retryPolicy: { maxAttempts: 9, initialBackoffMs: 250 } });
  t.like(settings, { leaseJobsMax: 7 });
  t.deepEqual(settings.retryPolicy, { maxAttempts: 9, initialBackoffMs: 250, factor: 2, maxBackoffMs: 3_600_000, jitter: 0.1 });
  await queues.update('set', { retryPolicy: { jitter: 0 } });
  t.like((await queues.get('set')).settings.retryPolicy!, { maxAttempts: 9, jitter: 0 });
  const refused = await t.throwsAsync(queues.update('set', { leaseJobsMax: 0 }), { instanceOf: SkipleaseError, code: 'INVALID_ARGUMENT' });
  t.is(refused.fieldViolations[0]!.field, 'settings.lease_jobs_max');
});

test('limits and the policy of serial keys are set, lifted, and held to', async (t) => {
  const jobs = new JobClient({ addresses: world.addresses });
  t.teardown(() => jobs.close());
  const limit = { runningMax: 5, rate: { starts: 600, periodMs: 60_000, burst: 10 } };
  const { settings } = await queues.update('keys', { limit, keyLimit: { runningMax: 1 }, serialRetry: 'GO_AHEAD' });
  t.like(settings, { limit, keyLimit: { runningMax: 1 }, serialRetry: 'GO_AHEAD' });
  await jobs.submitMany([{ serialKey: 'a' }, { serialKey: 'a' }, { limitKey: 'b' }, { limitKey: 'b' }].map((keys) => ({ queue: 'keys', type: 'x', ...keys })));
  t.like((await queues.get('keys')).depth, { ready: 2, blocked: 2 });
  const lifted = await queues.update('keys', { limit: {}, keyLimit: {} });
  t.false('limit' in lifted.settings || 'keyLimit' in lifted.settings);
  t.like(lifted.depth, { ready: 3, blocked: 1 });
});

test('pause, resume, depth and conditions; all queues are listed by name', async (t) => {
  await world.submit('paused', 3);
  t.like(await queues.pause('paused'), { paused: true });
  const { depth, conditions } = await queues.get('paused');
  t.like(depth, { ready: 3, leased: 0, scheduled: 0, capped: false });
  t.true(depth.oldestReadyAgeMs! >= 0);
  t.true(conditions.some(({ kind, message }) => kind === 'PAUSED' && message.includes('ResumeQueue')));
  t.like(await queues.resume('paused'), { paused: false });
  const names: string[] = [];
  for await (const { name } of queues.list()) names.push(name);
  t.true(names.includes('paused'));
  t.deepEqual(names, names.toSorted());
  await t.throwsAsync(queues.get('never-seen'), { code: 'NOT_FOUND' });
});

test('a purge cancels all that waits, and tells how much', async (t) => {
  const [jobId] = await world.submit('purged', 3);
  t.is(await queues.purge('purged', 'not today'), 3);
  t.is(await queues.purge('purged'), 0);
  t.like(await world.members[1]!.client.get(jobId!), { state: 'CANCELLED', error: { message: 'not today' } });
});

test('a watch goes on elsewhere when its coordinator goes away', async (t) => {
  const [jobId] = await world.submit('watched', 1);
  const leaving = await world.join();
  const own = new QueueClient({ addresses: [leaving.grpcAddress, world.addresses[1]!] });
  const jobs = new JobClient({ addresses: world.addresses });
  t.teardown(() => {
    own.close();
    jobs.close();
  });
  const seen: QueueSnapshot[] = [];
  for await (const queue of own.watch(['watched'])) {
    seen.push(queue);
    if (seen.length === 1) {
      await leaving.stop();
      await jobs.cancel([jobId!]);
    }
    if (queue.depth.ready === 0) break;
  }
  t.is(seen[0]!.depth.ready, 1);
  await t.throwsAsync(own.watch(['nowhere']).next(), { instanceOf: SkipleaseError, code: 'NOT_FOUND' });
});
