/** What a worker says of its jobs, and what it is answered: a receipt means committed, job by job. */
import test, { type ExecutionContext } from 'ava';
import { JobSpec } from '../../proto/gen/skiplease/v1/job.ts';
import type { Lease, LeasedJob, Receipt } from '../../proto/gen/skiplease/v1/worker_service.ts';
import { newJobId } from '../../worker/index.ts';
import { failed, released, snoozed, succeeded, type LeaseClient } from '../support/lease_client.ts';
import { startWorld, type World } from '../support/lease_world.ts';
import { waitFor } from '../support/wait.ts';

const DEADLINE_MS = 15_000;
/** Long for a busy machine, and short beside the scans that find what nobody was told of. */
const AT_ONCE_MS = 3_000;
const STATUS = { ACCEPTED: 1, DUPLICATE: 2, LEASE_LOST: 3, CANCELLED: 4, INVALID: 5 } as const;
/** The advisory lock on which the trigger of a slow progress waits. */
const SLOW_PROGRESS_LOCK = 4_711;

let world: World;

test.before(async () => {
  world = await startWorld();
  await world.records.rows(`
    create function public.reject_poison() returns trigger language plpgsql as
      $$ begin if new.result = 'poison'::bytea then raise exception 'this result is poison'; end if; return new; end $$;
    create trigger reject_poison before insert on skiplease.outcome for each row execute function public.reject_poison();
    create function public.wait_for_progress() returns trigger language plpgsql as
      $$ begin if new.note = 'slow' then
              perform pg_catalog.set_config('lock_timeout', '4s', true);
              perform pg_catalog.pg_advisory_xact_lock(${SLOW_PROGRESS_LOCK});
            end if; return new; end $$;
    create trigger wait_for_progress before insert on skiplease.progress for each row execute function public.wait_for_progress()`);
});

test.after.always(() => world?.end());

function statuses({ jobs }: Receipt): number[] {
  return jobs.map(({ status }) => status);
}

/** A worker that holds so many jobs of a queue of its own. */
async function holding(t: ExecutionContext, queue: string, count: number): Promise<{ stream: LeaseClient; lease: Lease; jobIds: string[] }> {
  const jobIds = await world.submit(queue, count);
  const stream = await world.worker({ queues: [queue], jobs: 1_000 });
  const lease = await stream.next('lease');
  t.deepEqual(lease.jobs.map(({ id }) => id), jobIds, 'in the order of their submit');
  t.true(lease.jobs.every(({ attempt }) => attempt === 1));
  return { stream, lease, jobIds };
}

function spec(queue: string, job: Partial<JobSpec> = {}): JobSpec {
  return { ...JobSpec.create({ id: newJobId(), queue, type: 'work' }), ...job };
}

test('a report that is repeated is known as a duplicate, also when its lease is gone', async (t) => {
  const { stream, lease: { token }, jobIds: [first, second] } = await holding(t, 'duplicate', 2);
  // Said twice in one report, differently: either may count, the other does not.
  const twice = statuses(await stream.report(token, [succeeded(first!, { result: 'this' }), succeeded(first!, { result: 'that' })]));
  t.deepEqual(twice.toSorted(), [STATUS.ACCEPTED, STATUS.DUPLICATE]);
  t.deepEqual(statuses(await stream.report(token, [failed(first!), succeeded(second!)])), [STATUS.DUPLICATE, STATUS.ACCEPTED]);
  const leaseId = token.split('.')[0];
  await waitFor(
    async () => (await world.records.rows('select from skiplease.lease where id = $1', [leaseId])).length === 0,
    { deadlineMs: DEADLINE_MS, what: 'the settled lease to be swept' },
  );
  t.deepEqual(statuses(await stream.report(token, [succeeded(first!), failed(second!, { retryDelayMs: 0 })])), [STATUS.DUPLICATE, STATUS.DUPLICATE]);
  const other = await world.worker({ queues: ['elsewhere'] });
  t.deepEqual(statuses(await other.report(token, [succeeded(first!)])), [STATUS.DUPLICATE], 'also on another stream');
  t.deepEqual((await world.records.ended([first!, second!])).map(({ state, attempt }) => [state, attempt]), [['SUCCEEDED', 1], ['SUCCEEDED', 1]]);
  t.deepEqual(Buffer.from((await world.members[0]!.client.get(first!)).result as Uint8Array).toString(), twice[0] === STATUS.ACCEPTED ? 'this' : 'that');
  await Promise.all([stream.leave(), other.leave()]);
});

test('a report that its token does not cover gets LEASE_LOST, changes nothing, and the stream lives on', async (t) => {
  const { stream, lease: { token }, jobIds: [mine] } = await holding(t, 'lost', 1);
  const { stream: other, lease: { token: otherToken }, jobIds: [theirs] } = await holding(t, 'lost.other', 1);
  const [leaseId, secret] = token.split('.') as [string, string];
  const wrongSecret = `${leaseId}.${secret.replace(/./g, (digit) => (digit === '0' ? '1' : '0'))}`;
  for (const [name, lie] of Object.entries({
    'wrong secret': wrongSecret, 'made up': '987654321.0123456789abcdef', 'of another lease': otherToken, 'no token at all': 'Let me in!', empty: '',
  })) {
    t.deepEqual(statuses(await stream.report(lie, [succeeded(mine!), failed(mine!), released(mine!)])), [3, 3, 3], name);
  }
  t.deepEqual(statuses(await stream.report(token, [succeeded(theirs!), succeeded(newJobId())])), [STATUS.LEASE_LOST, STATUS.LEASE_LOST]);
  t.deepEqual(statuses(await stream.report(token, [succeeded('no id')])), [STATUS.INVALID]);
  t.deepEqual(await world.records.ended([mine!, theirs!]), []);
  t.is((await world.members[0]!.client.get(mine!)).state, 'LEASED');
  t.deepEqual(statuses(await stream.report(token, [succeeded(mine!)])), [STATUS.ACCEPTED]);
  t.deepEqual(statuses(await other.report(otherToken, [succeeded(theirs!)])), [STATUS.ACCEPTED]);
  await Promise.all([stream.leave(), other.leave()]);
});

test('a failed attempt that is reported twice cannot touch the next attempt', async (t) => {
  const { stream, lease: { token }, jobIds: [jobId] } = await holding(t, 'failed.twice', 1);
  stream.window(0);
  const next = await world.worker({ queues: ['failed.twice'], workerId: 'next' });
  t.deepEqual(statuses(await stream.report(token, [failed(jobId!, { retryDelayMs: 0 })])), [STATUS.ACCEPTED]);
  const again = await next.next('lease');
  t.like(again.jobs[0], { id: jobId, attempt: 2 });
  for (const outcome of [failed(jobId!, { retryDelayMs: 0 }), succeeded(jobId!), released(jobId!), failed(jobId!, { permanent: true })]) {
    t.deepEqual(statuses(await stream.report(token, [outcome])), [STATUS.DUPLICATE]);
  }
  t.like(await world.members[0]!.client.get(jobId!), { state: 'LEASED', attempt: 2, workerId: 'next' });
  t.deepEqual(statuses(await next.report(again.token, [succeeded(jobId!)])), [STATUS.ACCEPTED]);
  t.like((await world.records.ended([jobId!]))[0], { state: 'SUCCEEDED', attempt: 2 });
  t.deepEqual(await world.records.tried([jobId!]), [{ jobId: jobId!, number: 1, state: 'FAILED', workerId: 'by hand' }]);
  await Promise.all([stream.leave(), next.leave()]);
});

test('a job fails for good when its attempts are used up, or when its worker says so', async (t) => {
  const queue = 'failed.for.good';
  const [jobId] = await world.submit(queue, 1, { maxAttempts: 3 });
  const stream = await world.worker({ queues: [queue] });
  for (const attempt of [1, 2, 3]) {
    const lease = await stream.next('lease');
    t.like(lease.jobs[0], { id: jobId, attempt, maxAttempts: 3 });
    t.deepEqual(statuses(await stream.report(lease.token, [failed(jobId!, { retryDelayMs: 1 })])), [STATUS.ACCEPTED]);
  }
  const snapshot = await world.members[0]!.client.get(jobId!);
  t.like(snapshot, { state: 'FAILED', attempt: 3, error: { code: 'TEST', message: 'failed on purpose' } });
  t.deepEqual(snapshot.attempts.map(({ number, state }) => [number, state]), [[1, 'FAILED'], [2, 'FAILED'], [3, 'FAILED']]);

  const [permanent] = await world.submit(queue, 1, { maxAttempts: 3 });
  const lease = await stream.next('lease');
  t.deepEqual(statuses(await stream.report(lease.token, [failed(permanent!, { permanent: true })])), [STATUS.ACCEPTED]);
  t.like((await world.records.ended([permanent!]))[0], { state: 'FAILED', attempt: 1 });
  await stream.leave();
});

test('what is released or snoozed comes back with no attempt spent, at once or after its delay', async (t) => {
  const queue = 'released';
  const { stream, lease: { token }, jobIds: [atOnce, later, snooze] } = await holding(t, queue, 3);
  stream.window(0);
  const before = await world.records.now();
  t.deepEqual(statuses(await stream.report(token, [released(atOnce!), released(later!, 700), snoozed(snooze!, 60_000)])), [1, 1, 1]);
  t.deepEqual(await world.records.ready([atOnce!]), [{ jobId: atOnce!, attempt: 1 }]);
  const scheduled = await world.records.rows<{ id: string; attempt: number; runAt: Date }>(
    'select job_id as id, attempt, run_at as "runAt" from skiplease.scheduled where job_id = any($1::uuid[]) order by run_at', [[later, snooze]]);
  t.deepEqual(scheduled.map(({ id, attempt }) => [id, attempt]), [[later, 1], [snooze, 1]]);
  const waitMs = scheduled[1]!.runAt.getTime() - before.getTime();
  t.true(waitMs >= 60_000 && waitMs < 70_000, `snoozed for ${waitMs} ms`);

  const other = await world.worker({ queues: [queue] });
  const back: LeasedJob[] = [];
  while (back.length < 2) back.push(...(await other.next('lease')).jobs);
  t.deepEqual(back.map(({ id, attempt }) => [id, attempt]), [[atOnce, 1], [later, 1]]);
  t.true((await world.records.now()) >= scheduled[0]!.runAt, 'not before its time');
  t.deepEqual(await world.records.tried([atOnce!, later!, snooze!]), []);
  await Promise.all([stream.leave(), other.leave()]);
});

test('follow-up jobs are committed with their success, once, and leased at once', async (t) => {
  const { stream, lease: { token }, jobIds } = await holding(t, 'follow', 3);
  const taker = await world.worker({ queues: ['follow.up'] });
  const followed: string[] = [];
  for (const jobId of jobIds) {
    const [first, second] = [spec('follow.up'), spec('follow.up', { payload: { content: { $case: 'data', value: Buffer.from('x') }, contentType: 'text/plain' } })];
    t.deepEqual(statuses(await stream.report(token, [succeeded(jobId, { followUps: [first, second] })])), [STATUS.ACCEPTED]);
    t.deepEqual(statuses(await stream.report(token, [succeeded(jobId, { followUps: [spec('follow.up')] })])), [STATUS.DUPLICATE]);
    const got: string[] = [];
    while (got.length < 2) got.push(...(await taker.next('lease', AT_ONCE_MS)).jobs.map(({ id }) => id));
    t.deepEqual(got.toSorted(), [first.id, second.id].toSorted());
    followed.push(...got);
  }
  const created = await world.records.rows<{ id: string }>(
    `select j.id from skiplease.job j join skiplease.queue q on q.id = j.queue_id where q.name = 'follow.up' order by j.id`);
  t.deepEqual(created.map(({ id }) => id), followed.toSorted());
  await Promise.all([stream.leave(), taker.leave()]);
});

test('a follow-up job with a time of its own is due then', async (t) => {
  const { stream, lease: { token }, jobIds: [jobId] } = await holding(t, 'follow.later', 1);
  const taker = await world.worker({ queues: ['follow.due'] });
  const later = spec('follow.due', { start: { $case: 'delay', value: { seconds: 0, nanos: 300_000_000 } } });
  t.deepEqual(statuses(await stream.report(token, [succeeded(jobId!, { followUps: [later] })])), [STATUS.ACCEPTED]);
  t.like((await taker.next('lease', AT_ONCE_MS)).jobs[0], { id: later.id, attempt: 1 });
  await Promise.all([stream.leave(), taker.leave()]);
});

test('a success whose follow-ups are refused is INVALID as a whole, stays leased, and can be reported without them', async (t) => {
  const { stream, lease: { token }, jobIds: [taken, malformed, plain, notASuccess] } = await holding(t, 'follow.refused', 4);
  const [existing] = await world.submit('follow.existing', 1);
  const sibling = spec('follow.never');
  const receipt = await stream.report(token, [
    // The id belongs to a job of another queue: only the database knows.
    succeeded(taken!, { followUps: [sibling, spec('follow.never', { id: existing! })] }),
    succeeded(malformed!, { followUps: [spec('follow.never'), spec('not a name!')] }),
    succeeded(plain!),
    { ...failed(notASuccess!), followUps: [spec('follow.never')] },
  ]);
  t.deepEqual(statuses(receipt), [STATUS.INVALID, STATUS.INVALID, STATUS.ACCEPTED, STATUS.INVALID]);
  t.regex(receipt.jobs[0]!.message, new RegExp(existing!));
  t.regex(receipt.jobs[1]!.message, /follow_ups\[1\]\.queue/);
  t.regex(receipt.jobs[3]!.message, /follow_ups/);
  t.deepEqual((await world.records.ended([taken!, malformed!, plain!, notASuccess!])).map(({ jobId }) => jobId), [plain!]);
  t.deepEqual(await world.records.rows(`select from skiplease.job j join skiplease.queue q on q.id = j.queue_id where q.name = 'follow.never'`), []);
  t.deepEqual(statuses(await stream.report(token, [succeeded(taken!), succeeded(malformed!), failed(notASuccess!)])), [1, 1, 1]);
  await stream.leave();
});

function checkpoint(token: string, jobId: string, percent: number, note: string, saved: string | undefined) {
  const value = saved === undefined ? undefined : { content: { $case: 'data' as const, value: Buffer.from(saved) }, contentType: '' };
  return { $case: 'progress' as const, value: { token, jobId, percent, note, checkpoint: value } };
}

test('progress is shown, and the checkpoint is handed to the next attempt', async (t) => {
  const { stream, lease: { token }, jobIds: [jobId] } = await holding(t, 'progress', 1);
  const other = await world.worker({ queues: ['progress'] });
  stream.window(0);
  stream.send(checkpoint(token, jobId!, 10, 'begun', 'page 1'));
  stream.send(checkpoint(token, jobId!, 40, 'going on', 'page 4'));
  stream.send(checkpoint(token, jobId!, 45.5, 'still', undefined));
  const { progress } = await waitFor(
    async () => {
      const snapshot = await world.members[0]!.client.get(jobId!);
      return snapshot.progress?.note === 'still' && snapshot;
    },
    { deadlineMs: DEADLINE_MS, what: 'the progress to be shown' },
  );
  t.like(progress, { percent: 45.5, note: 'still', hasCheckpoint: true });
  // The last word before a report counts, although it was not written yet.
  stream.send(checkpoint(token, jobId!, 50, 'half', 'page 5'));
  t.deepEqual(statuses(await stream.report(token, [failed(jobId!, { retryDelayMs: 0 })])), [STATUS.ACCEPTED]);
  const again = await other.next('lease');
  t.is(Buffer.from(again.jobs[0]!.checkpoint).toString(), 'page 5');

  // Who does not hold it any more has no say in it.
  stream.send(checkpoint(token, jobId!, 99, 'stale', 'stale page'));
  await stream.heartbeat();
  t.deepEqual(statuses(await other.report(again.token, [failed(jobId!, { retryDelayMs: 0 })])), [STATUS.ACCEPTED]);
  const last = await other.next('lease');
  t.like(last.jobs[0], { id: jobId, attempt: 3 });
  t.is(Buffer.from(last.jobs[0]!.checkpoint).toString(), 'page 5');
  t.deepEqual(statuses(await other.report(last.token, [succeeded(jobId!)])), [STATUS.ACCEPTED]);
  await Promise.all([stream.leave(), other.leave()]);
});

test('a report waits for the checkpoint that came before it, also while that is being written', async (t) => {
  const { stream, lease: { token }, jobIds: [jobId, fence] } = await holding(t, 'progress.slow', 2);
  const locker = await world.records.connect();
  try {
    await locker.query('select pg_advisory_lock($1)', [SLOW_PROGRESS_LOCK]);
    stream.send(checkpoint(token, jobId!, 50, 'slow', 'page 5'));
    await waitFor(
      async () => (await locker.query(`select from pg_locks where locktype = 'advisory' and not granted`)).rowCount! > 0,
      { deadlineMs: DEADLINE_MS, what: 'the progress to be on its way' },
    );
    stream.send({ $case: 'report', value: { token, outcomes: [failed(jobId!, { retryDelayMs: 0 })] } });
    const first = await stream.report(token, [failed(fence!, { permanent: true })]);
    t.is(first.jobs[0]!.jobId, fence!, 'the report of the other job passes by');
  } finally {
    await locker.end();
  }
  t.deepEqual(statuses(await stream.next('receipt')), [STATUS.ACCEPTED]);
  const again = await stream.next('lease');
  t.like(again.jobs[0], { id: jobId, attempt: 2 });
  t.is(Buffer.from(again.jobs[0]!.checkpoint).toString(), 'page 5');
  await stream.leave();
});

test('500 results in one flush, one of them refused by the database: 499 are accepted, one is INVALID', async (t) => {
  const { stream, lease: { token }, jobIds } = await holding(t, 'poison', 500);
  const poisoned = jobIds[321]!;
  const outcomes = jobIds.map((jobId) => succeeded(jobId, { result: jobId === poisoned ? 'poison' : 'food' }));
  const receipt = await stream.report(token, outcomes);
  t.deepEqual(receipt.jobs.map(({ jobId }) => jobId), jobIds);
  t.is(receipt.jobs.filter(({ status }) => status === STATUS.ACCEPTED).length, 499);
  t.like(receipt.jobs[321], { status: STATUS.INVALID });
  t.regex(receipt.jobs[321]!.message, /this result is poison/);
  t.is(await world.records.countEnded(jobIds), 499);
  t.is((await world.members[0]!.client.get(poisoned)).state, 'LEASED');
  t.deepEqual(statuses(await stream.report(token, [succeeded(poisoned, { result: 'poison' })])), [STATUS.INVALID], 'as often as it is tried');
  t.deepEqual(statuses(await stream.report(token, [failed(poisoned, { permanent: true })])), [STATUS.ACCEPTED], 'differently');
  t.like((await world.records.ended([poisoned]))[0], { state: 'FAILED', attempt: 1 });
  await stream.leave();
});

test('500 reports of two workers at once, one of them refused by the database', async (t) => {
  const one = await holding(t, 'poison.one', 250);
  const two = await holding(t, 'poison.two', 250);
  const statusOf = new Map<string, number>();
  for (const { stream, lease, jobIds } of [one, two]) {
    stream.listen((message) => {
      if (message.$case === 'receipt') message.value.jobs.forEach(({ jobId, status }) => statusOf.set(jobId, status));
    });
    for (const [index, jobId] of jobIds.entries()) {
      const result = stream === one.stream && index === 77 ? 'poison' : 'food';
      stream.send({ $case: 'report', value: { token: lease.token, outcomes: [succeeded(jobId, { result })] } });
    }
  }
  await waitFor(() => statusOf.size === 500, { deadlineMs: DEADLINE_MS, what: '500 receipts' });
  t.is([...statusOf.values()].filter((status) => status === STATUS.ACCEPTED).length, 499);
  t.is(statusOf.get(one.jobIds[77]!), STATUS.INVALID);
  // The receipts stand in the inbox too: the next one after them is this one's.
  while (one.stream.taken('receipt') !== undefined);
  t.deepEqual(statuses(await one.stream.report(one.lease.token, [succeeded(one.jobIds[77]!)])), [STATUS.ACCEPTED]);
  await Promise.all([one.stream.leave(), two.stream.leave()]);
});
