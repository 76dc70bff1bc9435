/** Coordinators that die or freeze: their workers go on elsewhere, no attempt is spent, and a thawed one does no harm. */
import test, { type ExecutionContext } from 'ava';
import { JobClient } from '../../worker/index.ts';
import { succeeded, type LeaseClient } from '../support/lease_client.ts';
import { allAt, assertUnharmed, startLoad } from '../support/lease_load.ts';
import { readEffects, startWorkerHere } from '../support/lease_workers.ts';
import type { Member, World } from '../support/lease_world.ts';
import { waitFor } from '../support/wait.ts';

const DEADLINE_MS = 30_000;
const RESUMED_MS_MAX = 1_000;

// By itself, and the best of three: the rest of the suite uses the same two cores.
test.serial('a coordinator is killed under load: its workers have resumed on the other within a second, and nothing is lost or done twice', async (t) => {
  const queue = 'killed';
  const { world, effectsFile, stopWorkers } = await startLoad(t, queue, 50);
  let [holder, other] = world.members as [Member, Member];
  const supply = keepWaiting(world, queue);
  const resumedMs: number[] = [];
  while (resumedMs.length < 3 && !resumedMs.some((ms) => ms <= RESUMED_MS_MAX)) {
    const asOfNow = await world.records.countAllEnded();
    await waitFor(async () => (await world.records.countAllEnded()) > asOfNow + 100, { deadlineMs: DEADLINE_MS, what: '100 jobs to end' });
    t.true((await other.operator.leases({ queue })).some(({ coordinatorId }) => coordinatorId === holder.coordinatorId), 'it holds leases');

    holder.kill('SIGKILL');
    const killedAt = performance.now();
    await waitFor(() => allAt(other, queue, other.coordinatorId), { deadlineMs: DEADLINE_MS, what: 'the workers to be at the other coordinator' });
    resumedMs.push(performance.now() - killedAt);
    t.is(await holder.exited, 137);
    [holder, other] = [other, await world.join({ SKIPLEASE_GRPC_ADDRESS: holder.grpcAddress })];
  }
  t.log(`resumed ${resumedMs.map(Math.round).join(', ')} ms after the kill`);
  t.true(Math.min(...resumedMs) <= RESUMED_MS_MAX, `resumed ${resumedMs.join(', ')} ms after the kill`);

  await assertUnharmed(t, world, await supply.stop(), effectsFile);
  await stopWorkers();
});

/** Keeps jobs waiting until it is told to stop; resolves to all their ids. */
function keepWaiting(world: World, queue: string): { stop: () => Promise<string[]> } {
  // By the library's own means against errors in passing: whoever is killed, this goes on.
  const client = new JobClient({ addresses: world.addresses });
  const jobIds: string[] = [];
  let going = true;
  const run = async (): Promise<string[]> => {
    while (going) {
      if ((await world.records.ready(jobIds.slice(-300))).length < 100) {
        const jobs = Array.from({ length: 100 }, () => ({ queue, type: 'work' }));
        jobIds.push(...(await client.submitMany(jobs)).map(({ id }) => id));
      }
    }
    return jobIds;
  };
  const running = run().finally(() => client.close());
  running.catch(() => undefined);
  return {
    stop: () => {
      going = false;
      return running;
    },
  };
}

const FREEZES: Record<string, (world: World, first: Member, second: Member, queue: string) => Promise<unknown>> = {
  'until its workers have moved': (_world, first, second, queue) =>
    waitFor(() => allAt(second, queue, second.coordinatorId), { deadlineMs: DEADLINE_MS, what: `the workers of ${first.coordinatorId} to move` }),
  'until the other one has given it up': (world, first) =>
    waitFor(
      async () => (await world.records.rows('select from skiplease.coordinator where id = $1', [first.coordinatorId])).length === 0,
      { deadlineMs: DEADLINE_MS, what: 'the frozen coordinator to be given up' },
    ),
};

for (const [how, frozenLongEnough] of Object.entries(FREEZES)) {
  test(`one of two coordinators is frozen ${how}, and does no harm when it thaws`, async (t) => {
    const queue = 'frozen';
    const { world, first, second, effectsFile, stopWorkers } = await startLoad(t, queue, 20);
    const supply = keepWaiting(world, queue);
    await waitFor(async () => (await readEffects(effectsFile)).length > 200, { deadlineMs: DEADLINE_MS, what: 'the workers to work' });

    // One that holds a lease at the second coordinator all the while, and one that stays with the frozen one.
    const [kept] = await world.submit('kept', 1);
    const holder = await world.worker({ queues: ['kept'] }, 1);
    const keptLease = await holder.next('lease');
    const stayed = await stayWithTheFirst(world);

    first.kill('SIGSTOP');
    await frozenLongEnough(world, first, second, queue);
    first.kill('SIGCONT');
    // It serves again: a worker that knows no other one works off what is submitted to it.
    const other = 'frozen.afterwards';
    const worker = startWorkerHere({ addresses: [first.grpcAddress], queue: other, effectsFile, workerId: 'new', concurrency: 5, windowJobs: 10, workMs: 1 });
    t.teardown(() => worker.stop());
    const afterwards = (await first.client.submitMany(Array.from({ length: 20 }, () => ({ queue: other, type: 'work' })))).map(({ id }) => id);
    await world.records.untilEnded(afterwards);
    t.is((await world.records.rows('select from skiplease.coordinator where expires_at > skiplease.now()')).length, 2);

    const jobIds = await supply.stop();
    t.log(`${jobIds.length} jobs`);
    await assertUnharmed(t, world, [...jobIds, ...afterwards], effectsFile);
    await worker.stop();
    await stopWorkers();

    t.deepEqual((await holder.report(keptLease.token, [succeeded(kept!)])).jobs.map(({ status }) => status), [1], 'the lease of others was left alone');
    await assertNoHarmByWhoStayed(t, world, stayed);
  });
}

interface Stayed {
  stream: LeaseClient;
  token: string;
  jobId: string;
}

async function stayWithTheFirst(world: World): Promise<Stayed> {
  const [jobId] = await world.submit('stayed', 1);
  const stream = await world.worker({ queues: ['stayed'], workerId: 'stayed' });
  const { token } = await stream.next('lease');
  return { stream, token, jobId: jobId! };
}

/** Its lease may have been given up meanwhile, or live on; its job ends once in any case, and it is known as what it is. */
async function assertNoHarmByWhoStayed(t: ExecutionContext, world: World, { stream, token, jobId }: Stayed): Promise<void> {
  const expired = (await world.records.tried([jobId])).length > 0;
  const again = new Promise<string>((resolve) => void stream.ended.then(({ details }) => resolve(details)));
  const ended = await Promise.race([again, stream.heartbeat().then(() => undefined, () => again)]);
  if (ended === undefined) {
    const { jobs } = await stream.report(token, [succeeded(jobId)]);
    t.deepEqual(jobs.map(({ status }) => status), [expired ? 3 : 1]);
    const sessions = (await world.members[1]!.operator.workers('stayed')).filter(({ workerId }) => workerId === 'stayed');
    t.is(sessions.length, 1, 'a stream that lives is listed');
  }
  t.log(`who stayed: ${ended ?? 'goes on'}, its attempt ${expired ? 'expired' : 'counts'}`);
  if (expired) {
    const taker = await world.worker({ queues: ['stayed'] }, 1);
    const lease = await taker.next('lease');
    t.like(lease.jobs[0], { id: jobId, attempt: 2 });
    await taker.report(lease.token, [succeeded(jobId)]);
  }
  t.is((await world.records.untilEnded([jobId])).length, 1);
}
