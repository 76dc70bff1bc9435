/** The wall clock of one process jumps by hours, forwards and backwards: nothing is given up, nothing runs early, late or twice. */
import test from 'ava';
import { JobClient } from '../../worker/index.ts';
import { startWorld } from '../support/lease_world.ts';
import { makeEffectsFile, readEffects, startWorkerProcess, timesDone } from '../support/lease_workers.ts';
import { testWhen } from '../support/skip.ts';
import { startSteadyLoad } from '../support/steady_load.ts';
import { waitFor } from '../support/wait.ts';
import { findFakeTime, makeWallClock } from '../support/wall_clock.ts';

const HOUR_SECONDS = 3_600;
/** What the clock says, one after the other, beside the machine's. Ids are refused that are more than 5 minutes ahead, or 24 hours old. */
const JUMPS_SECONDS = [2 * HOUR_SECONDS, 0, -30 * HOUR_SECONDS, 0];
/** Between what we read and when we read it. */
const TOLERANCE_SECONDS = 5;
const DELAY_MS = 700;
const LATE_MS_MAX = 3_000;
const DEADLINE_MS = 30_000;
const QUEUE = 'clock';

const library = await findFakeTime();
const testWithFakeTime = testWhen(library !== undefined, 'libfaketime (apt-get install libfaketime)', test.serial);

testWithFakeTime('the clock of one of two coordinators', async (t) => {
  const clock = await makeWallClock(library!);
  const world = await startWorld({ leaseTtlMs: 2_000 });
  t.teardown(() => world.end());
  const wrong = await world.join(clock.environment);
  // The workers and the submitter are at the one with the wrong clock.
  const load = startSteadyLoad({ addresses: world.addresses.toReversed(), queue: QUEUE, workMs: 10, workers: 1 });
  t.teardown(() => load.stop());
  const client = new JobClient({ addresses: [wrong.grpcAddress] });
  t.teardown(() => client.close());
  const delayed: string[] = [];
  for (const aheadSeconds of JUMPS_SECONDS) {
    await clock.set(aheadSeconds);
    await waitFor(async () => isAhead(await wallMsOf(wrong.httpAddress), aheadSeconds), { deadlineMs: DEADLINE_MS, what: `the coordinator's clock to be ${aheadSeconds} s ahead` });
    await load.more(100);
    const startedMs = performance.now();
    const { id } = await client.submit({ queue: QUEUE, type: 'work', delayMs: DELAY_MS });
    delayed.push(id);
    await waitFor(() => load.done.has(id), { deadlineMs: DEADLINE_MS, what: 'a job to be done at its time' });
    const tookMs = performance.now() - startedMs;
    t.true(tookMs >= DELAY_MS && tookMs < DELAY_MS + LATE_MS_MAX, `it took ${tookMs} ms, ${aheadSeconds} s ahead`);
  }
  const accepted = [...(await load.stopSubmitting()), ...delayed];
  const ended = await world.records.untilEnded(accepted);
  t.log(`${accepted.length} jobs`);
  t.deepEqual(ended.filter(({ state, attempt }) => state !== 'SUCCEEDED' || attempt !== 1), []);
  t.deepEqual([...load.begun].filter(([, times]) => times !== 1), [], 'no handler ran twice');
  t.deepEqual(wrong.logs.filter((line) => /sessions_given_up|coordinators_given_up|database_away/.test(line)), []);
});

/** By the date that it puts on its answers. */
async function wallMsOf(httpAddress: string): Promise<number> {
  return Date.parse((await fetch(`http://${httpAddress}/healthz`)).headers.get('date')!);
}

function isAhead(wallMs: number, aheadSeconds: number): boolean {
  return Math.abs((wallMs - Date.now()) / 1_000 - aheadSeconds) < TOLERANCE_SECONDS;
}

testWithFakeTime('the clock of a worker', async (t) => {
  const clock = await makeWallClock(library!);
  const world = await startWorld({ coordinators: 2, leaseTtlMs: 2_000 });
  const effectsFile = await makeEffectsFile();
  const worker = await startWorkerProcess(
    { addresses: world.addresses, queue: QUEUE, effectsFile, workerId: 'wrong', concurrency: 10, windowJobs: 40, workMs: 10 }, clock.environment);
  t.teardown(async () => {
    await worker.stop();
    await world.end();
  });
  const jobIds: string[] = [];
  for (const aheadSeconds of JUMPS_SECONDS) {
    await clock.set(aheadSeconds);
    await waitFor(async () => {
      jobIds.push(...(await world.submit(QUEUE, 20)));
      const last = (await readEffects(effectsFile)).at(-1);
      return last !== undefined && isAhead(last.wallMs, aheadSeconds);
    }, { deadlineMs: DEADLINE_MS, what: `the worker's clock to be ${aheadSeconds} s ahead` });
    // A coordinator goes away meanwhile: what the worker waits, it waits by a clock that does not jump.
    const [leaving] = world.members.splice(0, 1);
    await leaving!.stop();
    await world.join({ SKIPLEASE_GRPC_ADDRESS: leaving!.grpcAddress });
    jobIds.push(...(await world.submit(QUEUE, 100)));
    await world.records.untilEnded(jobIds);
  }
  const ended = await world.records.untilEnded(jobIds);
  t.log(`${jobIds.length} jobs`);
  t.deepEqual(ended.filter(({ state, attempt }) => state !== 'SUCCEEDED' || attempt !== 1), []);
  const done = timesDone(await readEffects(effectsFile));
  t.true(jobIds.every((id) => done.get(id) === 1), 'no handler ran twice');
});
