import type { ExecutionContext } from 'ava';
import { makeEffectsFile, readEffects, startWorkerHere, timesDone } from './lease_workers.ts';
import { startWorld, type Member, type World } from './lease_world.ts';
import { waitFor } from './wait.ts';

const LEASE_TTL_MS = 2_000;
const DEADLINE_MS = 30_000;
const WORKERS = ['one', 'two', 'three'];

/** Two coordinators under load. */
export interface Load {
  world: World;
  /** The one that all the workers are at. */
  first: Member;
  second: Member;
  effectsFile: string;
  stopWorkers: () => Promise<void>;
}

/** Two coordinators, and three workers that know both and are all at the first one. */
export async function startLoad(t: ExecutionContext, queue: string, workMs: number): Promise<Load> {
  const world = await startWorld({ coordinators: 2, leaseTtlMs: LEASE_TTL_MS });
  const [first, second] = world.members as [Member, Member];
  const effectsFile = await makeEffectsFile();
  const options = { addresses: world.addresses, queue, effectsFile, concurrency: 10, windowJobs: 40, workMs };
  const workers = WORKERS.map((workerId) => startWorkerHere({ ...options, workerId }));
  const stopWorkers = async (): Promise<void> => void (await Promise.all(workers.map((worker) => worker.stop())));
  t.teardown(async () => {
    await stopWorkers();
    await world.end();
  });
  await second.operator.update(queue, { leaseJobsMax: 10 });
  await waitFor(() => allAt(second, queue, first.coordinatorId), { deadlineMs: DEADLINE_MS, what: 'all workers to be at the first coordinator' });
  return { world, first, second, effectsFile, stopWorkers };
}

/** Whether all three workers, and all leases of the queue, are at this coordinator. */
export async function allAt({ operator }: Member, queue: string, coordinatorId: string): Promise<boolean> {
  const [workers, leases] = await Promise.all([operator.workers(queue), operator.leases({ queue })]);
  return workers.length === WORKERS.length && [...workers, ...leases].every((each) => each.coordinatorId === coordinatorId);
}

/** Each job ended once, with its first attempt, and its handler ran once. */
export async function assertUnharmed(t: ExecutionContext, world: World, jobIds: string[], effectsFile: string): Promise<void> {
  const ended = await world.records.untilEnded(jobIds);
  t.is(ended.length, jobIds.length);
  t.deepEqual(ended.filter(({ state, attempt }) => state !== 'SUCCEEDED' || attempt !== 1), []);
  t.deepEqual(await world.records.tried(jobIds), []);
  const effects = await readEffects(effectsFile);
  const done = timesDone(effects);
  t.is(effects.filter(({ moment }) => moment === 'begun').length, jobIds.length, 'no handler began twice');
  t.true(jobIds.every((jobId) => done.get(jobId) === 1));
}
