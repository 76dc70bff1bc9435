/** What others do to jobs that a worker holds, or is about to be given: cancel, and pause. */
import test from 'ava';
import { LeaseClient, failed, succeeded } from '../support/lease_client.ts';
import { startWorld, type World } from '../support/lease_world.ts';
import { startWorkerHere, makeEffectsFile } from '../support/lease_workers.ts';
import { waitFor } from '../support/wait.ts';

/** From the answer to the cancel call to the message at the worker: milliseconds. */
const CANCEL_MS_MAX = 100;
const DEADLINE_MS = 15_000;
const CANCELLED = 4;
const JOB_CANCELLED = 1;

let world: World;

test.before(async () => {
  // Nothing here waits for the time to live, and no busy machine may run into it.
  world = await startWorld({ coordinators: 2, leaseTtlMs: 20_000 });
  // Settled leases are deleted: what was ever granted to jobs of priority 9 is kept here.
  await world.records.rows(`
    create table public.granted (lease_id bigint, queue_id int, granted_at timestamptz);
    create function public.note_granted() returns trigger language plpgsql as $$ begin
      insert into public.granted select id, queue_id, granted_at from granted where 9 = any(priorities);
      -- Between the look at the queue and the commit: what a pause must wait for is always under way.
      if found then perform pg_sleep(0.02); end if;
      return null;
    end $$;
    create trigger note_granted after insert on skiplease.lease referencing new table as granted
      for each statement execute function public.note_granted()`);
});

test.after.always(() => world?.end());

for (const [where, member] of [['its own coordinator', 0], ['another coordinator', 1]] as const) {
  // By itself, before the others load the machine; and the best of five, because others use it too.
  test.serial(`a worker hears within ${CANCEL_MS_MAX} ms that its job was cancelled through ${where}`, async (t) => {
    const queue = `cancel.${member}`;
    const jobIds = await world.submit(queue, 6);
    const [kept, first, second] = jobIds as [string, string, string];
    const stream = await world.worker({ queues: [queue], jobs: 6 });
    const lease = await stream.next('lease');
    t.is(lease.jobs.length, 6);
    const delays: number[] = [];
    for (const jobId of jobIds.slice(1)) {
      const answered = world.members[member]!.client.cancel([jobId], `${jobId} is not wanted`).then((results) => {
        t.deepEqual(results, [{ jobId, outcome: 'CANCELLED' }]);
        return performance.now();
      });
      const cancel = await stream.next('cancel');
      const heardAt = performance.now();
      delays.push(heardAt - (await answered));
      t.deepEqual(cancel, { token: lease.token, jobIds: [jobId], reason: JOB_CANCELLED, message: `${jobId} is not wanted` });
    }
    t.log(`heard ${delays.map((ms) => Math.round(ms)).join(', ')} ms after the answer`);
    t.true(Math.min(...delays) <= CANCEL_MS_MAX, `${delays.join(', ')} ms`);
    // The window has room again at once, without a word of the worker.
    const more = await world.submit(queue, 5);
    const got: string[] = [];
    while (got.length < 5) got.push(...(await stream.next('lease')).jobs.map(({ id }) => id));
    t.deepEqual(got, more);

    const receipt = await stream.report(lease.token, [succeeded(first), failed(second, { retryDelayMs: 0 }), succeeded(kept)]);
    t.deepEqual(receipt.jobs.map(({ status }) => status), [CANCELLED, CANCELLED, 1]);
    t.deepEqual((await world.records.ended([kept, first, second])).map(({ state, attempt }) => [state, attempt]),
      [['SUCCEEDED', 1], ['CANCELLED', 1], ['CANCELLED', 1]]);
    t.like(await world.members[0]!.client.get(first), { state: 'CANCELLED', error: { message: `${first} is not wanted` } });
    t.deepEqual(await world.members[0]!.client.cancel([first, kept]), [{ jobId: first, outcome: 'ALREADY_FINAL' }, { jobId: kept, outcome: 'ALREADY_FINAL' }]);
    await stream.leave();
  });
}

test('a job that was cancelled while its worker was away is not resumed, and a late report gets CANCELLED', async (t) => {
  const queue = 'cancel.away';
  const [cancelled, kept] = await world.submit(queue, 2) as [string, string];
  const stream = await world.breakableWorker({ queues: [queue] });
  const lease = await stream.next('lease');
  await stream.breakOff();
  t.deepEqual(await world.members[1]!.client.cancel([cancelled]), [{ jobId: cancelled, outcome: 'CANCELLED' }]);
  const again = new LeaseClient(world.addresses[1]!);
  const welcome = await again.hello({ queues: [queue], instanceId: stream.instanceId, heldTokens: [lease.token] });
  t.deepEqual(welcome.resumed, [{ token: lease.token, jobIds: [kept] }]);
  t.deepEqual((await again.report(lease.token, [succeeded(cancelled), succeeded(kept)])).jobs.map(({ status }) => status), [CANCELLED, 1]);
  await again.leave();
});

test('cancels and reports race, and each job ends once, as its worker was told', async (t) => {
  const queue = 'cancel.race';
  const jobIds = await world.submit(queue, 300);
  const stream = await world.worker({ queues: [queue], jobs: 300 });
  const told = new Map<string, number>();
  const cancels: Promise<{ jobId: string; outcome: string }[]>[] = [];
  stream.listen((message) => {
    if (message.$case === 'receipt') message.value.jobs.forEach(({ jobId, status }) => told.set(jobId, status));
  });
  const held: string[] = [];
  while (held.length < 300) {
    const { token, jobs } = await stream.next('lease');
    for (const [index, { id }] of jobs.entries()) {
      held.push(id);
      stream.send({ $case: 'report', value: { token, outcomes: [succeeded(id)] } });
      if (index % 5 === 0) cancels.push(world.members[index % 2]!.client.cancel([id]));
    }
  }
  const answers = new Map((await Promise.all(cancels)).flat().map(({ jobId, outcome }) => [jobId, outcome]));
  await world.records.untilEnded(jobIds);
  await stream.leave();
  for (const { jobId, state } of await world.records.ended(jobIds)) {
    t.is(told.get(jobId), state === 'CANCELLED' ? CANCELLED : 1, jobId);
    if (answers.has(jobId)) t.is(answers.get(jobId), state === 'CANCELLED' ? 'CANCELLED' : 'ALREADY_FINAL');
  }
  t.is(told.size, 300);
});

test('a pause holds from its reply on: two coordinators under load lease nothing more, and go on when it is lifted', async (t) => {
  const queue = 'paused';
  const effectsFile = await makeEffectsFile();
  const options = { queue, effectsFile, concurrency: 20, windowJobs: 50, workMs: 1 };
  const workers = world.addresses.map((address, index) => startWorkerHere({ ...options, addresses: [address], workerId: `busy ${index}` }));
  t.teardown(() => Promise.all(workers.map((worker) => worker.stop())));
  await world.members[0]!.operator.update(queue, { leaseJobsMax: 5 });
  const jobIds: string[] = [];
  let submitting = true;
  const granted = () => world.records.rows<{ leases: number; last: Date }>(
    `select count(*)::int as leases, max(granted_at) as last from public.granted g join skiplease.queue q on q.id = g.queue_id where q.name = $1`, [queue]);
  // Through both coordinators: by claims, and by hand-offs whenever the queue runs dry.
  const load = world.members.map(async ({ client }) => {
    while (submitting) {
      const jobs = Array.from({ length: 40 }, () => ({ queue, type: 'work', priority: 9 }));
      jobIds.push(...(await client.submitMany(jobs)).map(({ id }) => id));
    }
  });
  await waitFor(() => jobIds.length > 0, { deadlineMs: DEADLINE_MS, what: 'the first jobs' });
  for (let round = 0; round < 5; round += 1) {
    const pausing = world.members[round % 2]!.operator;
    t.true((await pausing.pause(queue)).paused);
    const repliedAt = await world.records.now();
    const [atReply] = await granted();
    // More is submitted, and the workers run dry: whatever can be leased wrongly would be.
    const before = jobIds.length;
    while (jobIds.length < before + 200) await Promise.race(world.members.map(({ client }) => client.get(jobIds[0]!)));
    const [afterwards] = await granted();
    t.deepEqual(afterwards, atReply, `round ${round}`);
    t.true(afterwards!.last < repliedAt);
    t.false((await pausing.resume(queue)).paused);
  }
  submitting = false;
  await Promise.all(load);
  const ended = await world.records.untilEnded(jobIds);
  t.log(`${jobIds.length} jobs`);
  t.is(ended.length, jobIds.length);
  t.true(ended.every(({ state, attempt }) => state === 'SUCCEEDED' && attempt === 1));
});
