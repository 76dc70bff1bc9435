/** Streams that break, are left, or are replaced: what the worker names it keeps, the rest goes back with no attempt spent. */
import test, { type ExecutionContext } from 'ava';
import type { Lease, Receipt } from '../../proto/gen/skiplease/v1/worker_service.ts';
import { failed, LeaseClient, succeeded } from '../support/lease_client.ts';
import { startWorld, type World } from '../support/lease_world.ts';
import { startTcpProxy } from '../support/tcp_proxy.ts';
import { waitFor, within } from '../support/wait.ts';

const LEASE_TTL_MS = 3_000;
/** What has to happen at once: far less than the time to live, and enough for a busy machine. */
const AT_ONCE_MS = 1_500;
const DEADLINE_MS = 15_000;
const ABORTED = 10;

let world: World;

test.before(async () => {
  world = await startWorld({ coordinators: 2, leaseTtlMs: LEASE_TTL_MS });
});

test.after.always(() => world?.end());

function statuses({ jobs }: Receipt): number[] {
  return jobs.map(({ status }) => status);
}

/** A worker at the first coordinator that holds these jobs in leases of two. */
async function holding(queue: string, count: number, workerId = queue): Promise<{ stream: LeaseClient; leases: Lease[]; jobIds: string[] }> {
  await world.members[0]!.operator.update(queue, { leaseJobsMax: 2 });
  const jobIds = await world.submit(queue, count);
  const stream = await world.breakableWorker({ queues: [queue], workerId });
  const leases: Lease[] = [];
  while (leases.length < count / 2) leases.push(await stream.next('lease'));
  return { stream, leases: leases.toSorted((a, b) => a.number - b.number), jobIds };
}

/** Nothing was spent on them, and they wait for whoever comes. */
async function assertBackFree(t: ExecutionContext, jobIds: string[], deadlineMs = AT_ONCE_MS): Promise<void> {
  const ready = await waitFor(
    async () => {
      const rows = await world.records.ready(jobIds);
      return rows.length === jobIds.length && rows;
    },
    { deadlineMs, what: `${jobIds.length} jobs to be ready again` },
  );
  t.true(ready.every(({ attempt }) => attempt === 1));
  t.deepEqual(await world.records.tried(jobIds), []);
}

for (const [where, member] of [['the same coordinator', 0], ['another coordinator', 1]] as const) {
  test(`a worker whose stream broke resumes on ${where} what it names, and nothing else`, async (t) => {
    const queue = `resume.${member}`;
    const { stream, leases: [kept, forgotten], jobIds } = await holding(queue, 4);
    const [done, open] = kept!.jobs.map(({ id }) => id) as [string, string];
    t.deepEqual(statuses(await stream.report(kept!.token, [succeeded(done)])), [1]);
    await stream.breakOff();

    const madeUp = '123456789.0123456789abcdef';
    const again = new LeaseClient(world.addresses[member]!);
    const welcome = await again.hello({
      queues: [queue], workerId: queue, instanceId: stream.instanceId, jobs: 0, heldTokens: [kept!.token, madeUp, 'no token', kept!.token],
    });
    t.deepEqual(welcome.resumed, [{ token: kept!.token, jobIds: [open] }]);
    t.deepEqual(welcome.lostTokens.toSorted(), [madeUp, 'no token'].toSorted());
    await assertBackFree(t, forgotten!.jobs.map(({ id }) => id));

    const [lease] = await world.members[0]!.operator.leases({ workerId: queue });
    t.like(lease, { coordinatorId: world.members[member]!.coordinatorId, sessionId: welcome.sessionId, jobIds: [open], jobsSettled: 1 });
    t.deepEqual((await world.members[0]!.operator.workers(queue)).map(({ sessionId }) => sessionId), [welcome.sessionId]);
    t.deepEqual(statuses(await again.report(kept!.token, [succeeded(done), succeeded(open)])), [2, 1]);

    // What is resumed fills the window: of five, four are free once all of it is done.
    again.window(5);
    const taken = new Set<string>();
    while (taken.size < 2) {
      const next = await again.next('lease');
      for (const { id, attempt } of next.jobs) {
        t.is(attempt, 1);
        taken.add(id);
      }
      await again.report(next.token, next.jobs.map(({ id }) => succeeded(id)));
    }
    const ended = await world.records.untilEnded(jobIds);
    t.true(ended.every(({ state, attempt }) => state === 'SUCCEEDED' && attempt === 1));
    await again.leave();
  });
}

test('what is resumed counts into the new window', async (t) => {
  const queue = 'resume.window';
  const { stream, leases, jobIds } = await holding(queue, 4);
  await stream.breakOff();
  const more = await world.submit(queue, 6);
  const again = new LeaseClient(world.addresses[1]!);
  const welcome = await again.hello({ queues: [queue], instanceId: stream.instanceId, jobs: 5, heldTokens: leases.map(({ token }) => token) });
  t.is(welcome.resumed.length, 2);
  t.is((await again.next('lease')).jobs.length, 1);
  await again.report(leases[0]!.token, leases[0]!.jobs.map(({ id }) => succeeded(id)));
  t.is((await again.next('lease')).jobs.length, 2);
  t.is((await world.records.ready(more)).length, 3);
  t.is(await world.records.countEnded(jobIds), 2);
  await again.leave();
});

test('half-closing commits what was reported before, and gives the rest back with no attempt spent', async (t) => {
  const queue = 'leave';
  const { stream, leases: [first, second], jobIds } = await holding(queue, 4);
  const [reported, open] = first!.jobs.map(({ id }) => id) as [string, string];
  // Not waited for: the stream may end only after the receipt.
  stream.send({ $case: 'report', value: { token: first!.token, outcomes: [succeeded(reported)] } });
  t.is((await stream.leave()).code, 0);
  t.deepEqual(statuses(stream.taken('receipt')!), [1]);
  t.deepEqual((await world.records.ended(jobIds)).map(({ jobId }) => jobId), [reported]);
  await assertBackFree(t, [open, ...second!.jobs.map(({ id }) => id)]);
  t.deepEqual(await world.members[1]!.operator.workers(queue), []);
  t.deepEqual(await world.members[1]!.operator.leases({ queue }), []);
});

test('a stream that is reset a moment after it was half-closed has broken: its worker goes on with what it holds', async (t) => {
  const queue = 'reset';
  const { stream, leases } = await holding(queue, 4);
  // As Node's HTTP/2 resets a stream, on a machine that is too busy to send both at once.
  stream.call.end();
  const halfClosedMs = performance.now();
  await waitFor(() => performance.now() - halfClosedMs > 100, { deadlineMs: 1_000, what: 'the half-close to be read by itself' });
  await stream.cancel();
  const again = await world.worker({ queues: [queue], instanceId: stream.instanceId, jobs: 0, heldTokens: leases.map(({ token }) => token) });
  for (const lease of leases) {
    t.deepEqual(statuses(await again.report(lease.token, lease.jobs.map(({ id }) => succeeded(id)))), [1, 1]);
  }
  await again.leave();
});

test('a second stream of the same instance replaces the first one, which ends ABORTED', async (t) => {
  const queue = 'replaced';
  const { stream, leases: [kept, forgotten] } = await holding(queue, 4);
  const again = await world.worker({ queues: [queue], instanceId: stream.instanceId, jobs: 0, heldTokens: [kept!.token] });
  const { code, details } = await stream.status();
  t.is(code, ABORTED, details);
  await assertBackFree(t, forgotten!.jobs.map(({ id }) => id));
  t.deepEqual(statuses(await again.report(kept!.token, kept!.jobs.map(({ id }) => succeeded(id)))), [1, 1]);
  t.is((await world.members[0]!.operator.workers(queue)).length, 1);
  await again.leave();
});

test('of many streams of one instance that say hello at the same moment, one stays', async (t) => {
  const queue = 'replaced.at.once';
  const streams = Array.from({ length: 8 }, () => new LeaseClient(world.addresses[0]!));
  const hello = streams[0]!.helloMessage({ queues: [queue], instanceId: streams[0]!.instanceId });
  for (const stream of streams) stream.send({ $case: 'hello', value: hello });
  const open = new Set(streams);
  for (const stream of streams) void stream.ended.then(() => open.delete(stream));
  await waitFor(() => open.size === 1, { deadlineMs: DEADLINE_MS, what: 'all streams but one to end' });
  for (const stream of streams.filter((each) => !open.has(each))) t.is((await stream.status()).code, ABORTED);
  const [last] = open;
  await last!.heartbeat();
  t.is((await world.members[1]!.operator.workers(queue)).length, 1);
  await last!.leave();
});

test('two workers with one label are two workers', async (t) => {
  const queue = 'same.label';
  const one = await world.worker({ queues: [queue], workerId: 'twin' });
  const two = await world.worker({ queues: [queue], workerId: 'twin' }, 1);
  t.is((await world.members[0]!.operator.workers(queue)).length, 2);
  await Promise.all([one.heartbeat(), two.heartbeat()]);
  await Promise.all([one.leave(), two.leave()]);
});

test('a silent worker is given up after its time to live: the stream ends, an attempt is spent', async (t) => {
  const queue = 'silent';
  const jobIds = await world.submit(queue, 2);
  const [last] = await world.submit('silent.last', 1, { maxAttempts: 1 });
  const stream = await world.worker({ queues: [queue, 'silent.last'], heartbeats: false });
  const leases = [await stream.next('lease'), await stream.next('lease')];
  const lease = leases.find((each) => each.queue === queue)!;
  const lastLease = leases.find((each) => each !== lease)!;
  const { code, details } = await stream.status();
  t.is(code, 4, details);
  const other = await world.worker({ queues: [queue] }, 1);
  const again = await other.next('lease');
  t.deepEqual(again.jobs.map(({ id, attempt }) => [id, attempt]), lease.jobs.map(({ id }) => [id, 2]));
  t.deepEqual(await world.records.tried(jobIds), jobIds.toSorted().map((jobId) => ({ jobId, number: 1, state: 'EXPIRED', workerId: 'by hand' })));

  const late = await world.worker({ queues: ['elsewhere'], instanceId: stream.instanceId, heldTokens: [lease.token] });
  t.deepEqual(statuses(await late.report(lease.token, jobIds.map((id) => succeeded(id)))), [3, 3], 'its late report comes too late');
  t.deepEqual(await world.records.ended(jobIds), []);
  // Of the one that had no attempt left it was the end, which is not what it reports now either.
  t.like((await world.records.untilEnded([last!]))[0], { state: 'FAILED', attempt: 1 });
  t.deepEqual(statuses(await late.report(lastLease.token, [succeeded(last!), failed(last!, { permanent: true })])), [3, 3]);
  await Promise.all([late.leave(), other.leave()]);
});

test('what was leased to the old stream of a worker that has moved comes back free', async (t) => {
  const queue = 'moved';
  const proxy = await startTcpProxy(world.addresses[0]!);
  t.teardown(() => proxy.close());
  const stream = new LeaseClient(proxy.address);
  await stream.hello({ queues: [queue], workerId: queue });
  // Its way to the first coordinator falls silent, which that one cannot know yet; the worker goes to the other one.
  proxy.freeze(true);
  const moved = new LeaseClient(world.addresses[1]!);
  await moved.hello({ queues: [queue], workerId: queue, instanceId: stream.instanceId, jobs: 0 });
  const jobIds = await world.submit(queue, 3);
  t.is((await world.records.ready(jobIds)).length, 0, 'they were leased to the stream that nobody reads');
  await assertBackFree(t, jobIds, LEASE_TTL_MS + 1_500);
  moved.window(10);
  t.deepEqual((await moved.next('lease')).jobs.map(({ attempt }) => attempt), [1, 1, 1]);
  await moved.leave();
  await stream.cancel();
});

// Before the others: hellos that come together share their statements, and would fail with it.
test.serial('a hello that fails half-way leaves nothing behind that nobody looks after', async (t) => {
  const queue = 'half.way';
  const { stream, leases: [lease], jobIds } = await holding(queue, 2);
  await stream.breakOff();
  // The leases are moved before the earlier session is forgotten, which the database refuses here.
  await world.records.rows(`
    create function public.refuse_half_way() returns trigger language plpgsql as
      $$ begin if old.worker_id = 'half.way' then raise exception 'not now'; end if; return old; end $$;
    create trigger refuse_half_way before delete on skiplease.session for each row execute function public.refuse_half_way()`);
  const again = new LeaseClient(world.addresses[1]!);
  await t.throwsAsync(again.hello({ queues: [queue], workerId: queue, instanceId: stream.instanceId, heldTokens: [lease!.token] }));
  await world.records.rows('drop trigger refuse_half_way on skiplease.session');
  // The worker never comes back: its jobs do, as of any worker that dies.
  const other = await world.worker({ queues: [queue] });
  const redelivered = await within(other.next('lease'), LEASE_TTL_MS * 3, 'the jobs of the worker that has gone');
  t.deepEqual(redelivered.jobs.map(({ id }) => id).toSorted(), jobIds.toSorted());
  await other.leave();
});
