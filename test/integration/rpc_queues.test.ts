import { status } from '@grpc/grpc-js';
import test from 'ava';
import pg from 'pg';
import { BlockedReason, JobState } from '../../proto/gen/skiplease/v1/job.ts';
import { ListJobsRequest } from '../../proto/gen/skiplease/v1/job_service.ts';
import { ConditionKind, SerialRetry } from '../../proto/gen/skiplease/v1/queue_service.ts';
import type { QueueSettings } from '../../proto/gen/skiplease/v1/queue_service.ts';
import type { LeaseResponse } from '../../proto/gen/skiplease/v1/worker_service.ts';
import { call, jobSpec, refused, startRpc, succeeded } from '../support/rpc_clients.ts';
import type { Rpc } from '../support/rpc_clients.ts';
import { waitFor } from '../support/wait.ts';

let rpc: Rpc;
let second: Rpc;
test.before(async () => {
  rpc = await startRpc();
  second = await startRpc({}, rpc.databaseUrl);
});
test.after.always(async () => {
  await second?.stop();
  await rpc?.stop();
});

const noPolicy = { maxAttempts: undefined, initialBackoff: undefined, factor: undefined, maxBackoff: undefined, jitter: undefined };
const getQueue = async (from: Rpc, queue: string) => (await call(from.queues, 'getQueue', { queue })).queue!;

test('a queue is there after its first submit, with its depth', async (t) => {
  t.like(await refused(call(rpc.queues, 'getQueue', { queue: 'depth' })), { code: status.NOT_FOUND, reason: 'QUEUE_NOT_FOUND' });
  await rpc.submit(jobSpec({ queue: 'depth' }), jobSpec({ queue: 'depth' }), jobSpec({ queue: 'depth' }),
    jobSpec({ queue: 'depth', start: { $case: 'delay', value: { seconds: 60, nanos: 0 } } }));
  const worker = await rpc.worker({ queues: ['depth'], jobs: 2 });
  const lease = await worker.lease();
  t.like((await getQueue(rpc, 'depth')).depth!, { ready: 1, leased: 2, scheduled: 1, capped: false });
  await worker.report(lease.token, [succeeded(lease.jobs[0]!.id)]);
  await worker.lease();
  const { depth } = await getQueue(rpc, 'depth');
  t.like(depth!, { ready: 0, leased: 2, scheduled: 1, oldestReadyAge: undefined });
  worker.cut();
});

test('settings that are present change, the others stay', async (t) => {
  const update = async (settings: QueueSettings) => (await call(rpc.queues, 'updateQueue', { queue: 'settings', settings })).queue!.settings!;
  const first = await update({ leaseJobsMax: 7, retryPolicy: { ...noPolicy, maxAttempts: 9 } });
  t.like(first, { leaseJobsMax: 7 });
  t.deepEqual(first.retryPolicy, {
    maxAttempts: 9, initialBackoff: { seconds: 1, nanos: 0 }, factor: 2, maxBackoff: { seconds: 3_600, nanos: 0 }, jitter: 0.1,
  });
  const then = await update({ leaseJobsMax: undefined, retryPolicy: { ...noPolicy, jitter: 0, initialBackoff: { seconds: 0, nanos: 250_000_000 } } });
  t.like(then, { leaseJobsMax: 7 });
  t.like(then.retryPolicy!, { maxAttempts: 9, jitter: 0, initialBackoff: { seconds: 0, nanos: 250_000_000 } });
  // The other coordinator leases by them.
  await second.submit(...Array.from({ length: 10 }, () => jobSpec({ queue: 'settings' })));
  const worker = await second.worker({ queues: ['settings'], jobs: 100 });
  t.is((await worker.lease()).jobs.length, 7);
  worker.cut();
  const [jobId] = await rpc.submit(jobSpec({ queue: 'settings' }));
  t.is((await rpc.get(jobId!)).maxAttempts, 9);
});

test('limits and the policy of serial keys are set, shown, and lifted by empty ones', async (t) => {
  const update = async (settings: Partial<QueueSettings>) => (await call(rpc.queues, 'updateQueue', { queue: 'limits', settings: { ...none, ...settings } })).queue!.settings!;
  const none = { leaseJobsMax: undefined, retryPolicy: undefined };
  t.like(await update({}), { limit: undefined, keyLimit: undefined, serialRetry: SerialRetry.WAIT });
  const rate = { starts: 5, period: { seconds: 60, nanos: 0 }, burst: 0 };
  t.like(await update({ limit: { runningMax: 3, rate }, serialRetry: SerialRetry.GO_AHEAD }), {
    limit: { runningMax: 3, rate: { ...rate, burst: 1 } }, keyLimit: undefined, serialRetry: SerialRetry.GO_AHEAD,
  });
  t.like(await update({ keyLimit: { runningMax: 2, rate: undefined } }), { limit: { runningMax: 3 }, keyLimit: { runningMax: 2, rate: undefined } });
  t.like(await update({ limit: { runningMax: 0, rate: undefined } }), { limit: undefined, keyLimit: { runningMax: 2 }, serialRetry: SerialRetry.GO_AHEAD });
});

test('conditions say why a queue with limits and keys does not move', async (t) => {
  const queue = 'why';
  const conditions = async () => (await getQueue(second, queue)).conditions.filter(({ kind }) => kind !== ConditionKind.SLOW_COMMITS);
  const set = (settings: Partial<QueueSettings>) => call(rpc.queues, 'updateQueue', { queue, settings: { leaseJobsMax: undefined, retryPolicy: undefined, ...settings } });
  await set({ limit: { runningMax: 2, rate: undefined } });
  const worker = await rpc.worker({ queues: [queue], jobs: 10 });
  const ids = await rpc.submit(...Array.from({ length: 3 }, () => jobSpec({ queue })));
  await waitFor(async () => (await getQueue(rpc, queue)).depth!.leased === 2, { deadlineMs: 10_000, what: 'two to run' });
  t.like(await conditions(), [{ kind: ConditionKind.LIMITED, message: "2 jobs run, and the queue's limit is 2. UpdateQueue (limit.running_max) raises or lifts it." }]);
  await set({ limit: { runningMax: 0, rate: { starts: 1, period: { seconds: 3_600, nanos: 0 }, burst: 1 } } });
  await waitFor(async () => (await getQueue(rpc, queue)).depth!.ready === 0, { deadlineMs: 10_000, what: 'the token to be taken' });
  const [last] = await rpc.submit(jobSpec({ queue }));
  const [limited] = await conditions();
  t.is(limited!.kind, ConditionKind.RATE_LIMITED);
  t.regex(limited!.message, /^The queue's rate is 1 starts in 3600000 ms, at most 1 at once: the next token comes in 3\d{6} ms\./);
  await call(rpc.jobs, 'cancelJobs', { jobIds: [...ids, last!], reason: '', filter: undefined });
  await set({ limit: { runningMax: 0, rate: undefined }, keyLimit: { runningMax: 1, rate: undefined } });
  const keyed = await rpc.submit(...['a', 'a', 'a'].map((serialKey) => jobSpec({ queue, serialKey })), ...['l', 'l'].map((limitKey) => jobSpec({ queue, limitKey })));
  await waitFor(async () => (await getQueue(rpc, queue)).depth!.leased === 2, { deadlineMs: 10_000, what: 'the first of each to run' });
  t.like(await conditions(), [{
    kind: ConditionKind.BLOCKED, message: 'Nothing is ready: 2 for an earlier job of their serial key, 1 for the limit of their key. ListJobs (state BLOCKED) names them.',
  }]);
  t.like(await rpc.get(keyed[1]!), { state: JobState.BLOCKED, blockedReason: BlockedReason.SERIAL_KEY, serialKey: 'a' });
  t.like(await rpc.get(keyed[4]!), { state: JobState.BLOCKED, blockedReason: BlockedReason.LIMIT_KEY, limitKey: 'l' });
  const { jobs } = await call(second.jobs, 'listJobs', ListJobsRequest.create({ queue, state: JobState.BLOCKED }));
  t.deepEqual(jobs.map(({ id }) => id).sort(), [keyed[1], keyed[2], keyed[4]].sort());
  worker.cut();
});

for (const [field, settings] of [
  ['settings', undefined],
  ['settings.lease_jobs_max', { leaseJobsMax: 0, retryPolicy: undefined }],
  ['settings.lease_jobs_max', { leaseJobsMax: 1_001, retryPolicy: undefined }],
  ['settings.retry_policy.max_attempts', { leaseJobsMax: undefined, retryPolicy: { ...noPolicy, maxAttempts: 0 } }],
  ['settings.retry_policy.factor', { leaseJobsMax: undefined, retryPolicy: { ...noPolicy, factor: Number.NaN } }],
  ['settings.retry_policy.jitter', { leaseJobsMax: undefined, retryPolicy: { ...noPolicy, jitter: 1.1 } }],
  ['settings.retry_policy.initial_backoff', { leaseJobsMax: undefined, retryPolicy: { ...noPolicy, initialBackoff: { seconds: 86_401, nanos: 0 } } }],
  ['settings.limit.running_max', { limit: { runningMax: 100_001, rate: undefined } }],
  ['settings.limit.rate.period', { limit: { runningMax: 0, rate: { starts: 1, period: undefined, burst: 0 } } }],
  ['settings.key_limit.rate.starts', { keyLimit: { runningMax: 0, rate: { starts: 0, period: { seconds: 1, nanos: 0 }, burst: 0 } } }],
  ['settings.key_limit.rate.burst', { keyLimit: { runningMax: 0, rate: { starts: 1, period: { seconds: 1, nanos: 0 }, burst: -1 } } }],
  ['settings.serial_retry', { serialRetry: 7 as 1 }],
  ['settings.retry_policy.max_backoff', { leaseJobsMax: undefined, retryPolicy: { ...noPolicy, maxBackoff: { seconds: -1, nanos: 0 } } }],
] as [string, QueueSettings | undefined][]) {
  test(`bad settings are refused at ${field}: ${JSON.stringify(settings)}`, async (t) => {
    const refusal = await refused(call(rpc.queues, 'updateQueue', { queue: 'refused', settings }));
    t.is(refusal.code, status.INVALID_ARGUMENT);
    t.deepEqual(refusal.violations.map((violation) => violation.field), [field]);
  });
}

test('unknown and ill-formed names', async (t) => {
  for (const method of ['getQueue', 'pauseQueue', 'resumeQueue'] as const) {
    t.like(await refused(call(rpc.queues, method, { queue: 'never-seen' })), { code: status.NOT_FOUND, reason: 'QUEUE_NOT_FOUND' });
    const refusal = await refused(call(rpc.queues, method, { queue: 'x'.repeat(129) }));
    t.deepEqual([refusal.code, refusal.violations[0]!.field], [status.INVALID_ARGUMENT, 'queue']);
  }
});

test('queues are listed by name, page by page', async (t) => {
  const names = Array.from({ length: 12 }, (_, index) => `page-${String.fromCharCode(97 + index)}`);
  await rpc.submit(...names.map((queue) => jobSpec({ queue })));
  const found: string[] = [];
  let pageToken = '';
  do {
    const page = await call(rpc.queues, 'listQueues', { pageSize: 5, pageToken });
    found.push(...page.queues.map(({ name }) => name));
    pageToken = page.nextPageToken;
  } while (pageToken !== '');
  t.deepEqual(found.filter((name) => name.startsWith('page-')), names);
  t.deepEqual(found, [...found].sort());
  t.deepEqual((await refused(call(rpc.queues, 'listQueues', { pageSize: 5, pageToken: '!' }))).violations[0]!.field, 'page_token');
});

// Alone: it watches the sequence of all leases.
test.serial('a pause holds from its reply on, on every coordinator, and a resume lets jobs go', async (t) => {
  const submitters = [rpc, second];
  const client = new pg.Client({ connectionString: rpc.databaseUrl });
  await client.connect();
  const lastLeaseId = async () => (await client.query<{ last_value: string }>('select last_value from skiplease.lease_id')).rows[0]!.last_value;
  await rpc.submit(jobSpec({ queue: 'pause' }));
  const workers = await Promise.all(submitters.map((one) => one.worker({ queues: ['pause'], jobs: 50 })));
  let leased = 0;
  workers.forEach((worker) => worker.stream.on('data', ({ message }: LeaseResponse) => {
    if (message?.$case === 'lease') {
      leased += message.value.jobs.length;
      worker.say({ $case: 'report', value: { token: message.value.token, outcomes: message.value.jobs.map(({ id }) => succeeded(id)) } });
    }
  }));
  for (let round = 0; round < 5; round += 1) {
    let submitting = true;
    const flood = Promise.all(submitters.map(async (one) => {
      while (submitting) {
        await one.submit(...Array.from({ length: 20 }, () => jobSpec({ queue: 'pause' })));
      }
    }));
    const before = leased;
    await waitFor(() => leased > before, { deadlineMs: 10_000, what: 'jobs to flow' });
    const { queue } = await call(second.queues, 'pauseQueue', { queue: 'pause' });
    const lastLease = await lastLeaseId();
    t.true(queue!.paused);
    const [probe] = await rpc.submit(jobSpec({ queue: 'pause' }));
    submitting = false;
    await flood;
    t.is((await rpc.get(probe!)).state, JobState.READY, 'submitted after the pause: it waits');
    t.is(await lastLeaseId(), lastLease, 'no lease was granted after the reply');
    await call(rpc.queues, 'resumeQueue', { queue: 'pause' });
    await rpc.until(probe!, ({ state }) => state === JobState.SUCCEEDED, 'the probe to run after the resume');
  }
  workers.forEach((worker) => worker.cut());
  await client.end();
});

test.serial('a pause is answered only after the claims that began before it', async (t) => {
  const client = new pg.Client({ connectionString: rpc.databaseUrl });
  await client.connect();
  // A claim whose snapshot is taken, and that cannot go on.
  await client.query(`create table public.hold (only_row boolean);
    create function public.held() returns trigger language plpgsql as
      $$ begin while exists (select 1 from public.hold) loop perform pg_sleep(0.005); end loop; return new; end $$;
    create trigger held before insert on skiplease.lease for each row execute function public.held();
    insert into public.hold values (true)`);
  const claiming = async () => (await client.query(
    `select 1 from pg_stat_activity where datname = current_database() and application_name like 'skiplease %' and wait_event = 'PgSleep'`)).rowCount === 1;
  const worker = await rpc.worker({ queues: ['held'] });
  const submitted = rpc.submit(jobSpec({ queue: 'held' }));
  await waitFor(claiming, { deadlineMs: 5_000, what: 'a claim to be under way' });
  let claimingAtReply: Promise<boolean> | undefined;
  const paused = call(second.queues, 'pauseQueue', { queue: 'held' }).then(() => {
    claimingAtReply = claiming();
  });
  await waitFor(async () => (await getQueue(second, 'held')).paused, { deadlineMs: 5_000, what: 'the pause to be on record' });
  await getQueue(second, 'held');
  t.is(claimingAtReply, undefined, 'not answered while the claim is under way');
  await client.query('delete from public.hold');
  await paused;
  t.false(await claimingAtReply!);
  await submitted;
  t.is((await worker.lease()).jobs.length, 1, 'what was claimed before the pause goes on');
  worker.cut();
  await client.query('drop trigger held on skiplease.lease');
  await client.end();
});

test('workers and leases are listed, on whatever coordinator they are', async (t) => {
  const ids = await rpc.submit(...Array.from({ length: 4 }, () => jobSpec({ queue: 'seen' })));
  const workers = [await rpc.worker({ queues: ['seen'], workerId: 'seen-1', jobs: 2 }), await second.worker({ queues: ['seen', 'mail'], workerId: 'seen-2', jobs: 2 })];
  const leases = await Promise.all(workers.map((worker) => worker.lease()));
  await workers[0]!.report(leases[0]!.token, [succeeded(leases[0]!.jobs[0]!.id)]);
  for (const from of [rpc, second]) {
    const listed = await call(from.workers, 'listWorkers', { queue: 'seen', pageSize: 1, pageToken: '' });
    t.is(listed.workers.length, 1);
    const rest = await call(from.workers, 'listWorkers', { queue: 'seen', pageSize: 1, pageToken: listed.nextPageToken });
    const both = [...listed.workers, ...rest.workers].sort((a, b) => a.workerId.localeCompare(b.workerId));
    t.deepEqual(both.map(({ workerId, jobs, leases: held, windowJobs, queues, coordinatorId }) => ({ workerId, jobs, held, windowJobs, queues, coordinatorId })), [
      { workerId: 'seen-1', jobs: 1, held: 1, windowJobs: 2, queues: ['seen'], coordinatorId: rpc.coordinator.coordinatorId },
      { workerId: 'seen-2', jobs: 2, held: 1, windowJobs: 2, queues: ['seen', 'mail'], coordinatorId: second.coordinator.coordinatorId },
    ]);
    t.is(rest.nextPageToken, '');
    const found = await call(from.workers, 'listLeases', { queue: 'seen', workerId: '', pageSize: 0, pageToken: '' });
    t.deepEqual(found.leases.flatMap(({ jobIds }) => jobIds).sort(), ids.filter((id) => id !== leases[0]!.jobs[0]!.id).sort());
    const one = await call(from.workers, 'listLeases', { queue: '', workerId: 'seen-1', pageSize: 0, pageToken: '' });
    t.is(one.leases.length, 1);
    t.like(one.leases[0]!, { queue: 'seen', workerId: 'seen-1', jobsSettled: 1, jobIds: [leases[0]!.jobs[1]!.id] });
    t.is(String(one.leases[0]!.leaseId), leases[0]!.token.split('.')[0]!);
  }
  const stray = await refused(call(rpc.workers, 'listLeases', { queue: 'other', workerId: '', pageSize: 0, pageToken: 'W10' }));
  t.is(stray.violations[0]!.field, 'page_token');
  workers.forEach((worker) => worker.cut());
});
