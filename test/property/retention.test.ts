/** Random jobs in random states, of random ages: whatever is dropped, exactly those are kept that should be, and every job that is not final still runs. */
import test, { type ExecutionContext } from 'ava';
import fc from 'fast-check';
import { v7 as uuidv7 } from 'uuid';
import { Bits } from '../../coordinator/bits.ts';
import { cancelJobs } from '../../coordinator/store/cancel_jobs.ts';
import { getJobs } from '../../coordinator/store/get_jobs.ts';
import { PARTITIONS_MAX } from '../../coordinator/store/partitions.ts';
import { openPool, type Pool } from '../../coordinator/store/pool.ts';
import { newJob, rowsOf } from '../support/store_jobs.ts';
import { PROPERTY_MS } from '../support/store_properties.ts';
import { databaseNowMs, letDaysPass, partitionsOf, startRetirer, type TestRetirer } from '../support/store_retention.ts';
import { StoreWorld, type Claimed, type StoreCoordinator } from '../support/store_world.ts';
import { holdsFor } from '../support/timed_property.ts';

const RETENTION = { days: 2, failedDays: 5 };
const HOUR_MS = 3_600_000;
const DAY_MS = 24 * HOUR_MS;
/** A job that may go at about the time of a look may be there after it, or not. */
const ABOUT_MS = 120_000;
const SUCCEEDED = 4;
const FAILED = 5;
const CANCELLED = 6;

let world: StoreWorld;
let pool: Pool;
let coordinator: StoreCoordinator;
let retirers: TestRetirer[];
let queueId: number;

test.before(async () => {
  world = await StoreWorld.open();
  pool = await openPool(world.url);
  coordinator = world.coordinator();
  retirers = [1, 2].map(() => startRetirer(world.url, RETENTION));
  queueId = await world.queue();
});

test.after.always(async () => {
  await Promise.all([...(retirers ?? []).map((each) => each.stop()), pool?.end()]);
  await world?.close();
});

const step = fc.oneof(
  { weight: 4, arbitrary: fc.record({ do: fc.constant('submit' as const), jobs: fc.integer({ min: 1, max: 8 }), hoursOld: fc.nat(23), dueInDays: fc.constantFrom(0, 0, 1, 4, 9) }) },
  { weight: 3, arbitrary: fc.record({ do: fc.constant('claim' as const), jobs: fc.integer({ min: 1, max: 6 }) }) },
  { weight: 5, arbitrary: fc.record({ do: fc.constant('end' as const), lease: fc.nat(100), as: fc.constantFrom('succeeded', 'failed', 'tried again') }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('cancel' as const), at: fc.nat(100), jobs: fc.integer({ min: 1, max: 4 }) }) },
);
type Step = typeof step extends fc.Arbitrary<infer Value> ? Value : never;

interface Life {
  state: number | undefined;
  endedMs: number;
  tries: number;
}

/** What is known of all jobs that should be there. */
const lives = new Map<string, Life>();
const leases: Claimed[] = [];

async function take(each: Step): Promise<void> {
  switch (each.do) {
    case 'submit': {
      const nowMs = await databaseNowMs(world);
      const jobs = Array.from({ length: each.jobs }, () => newJob({
        id: uuidv7({ msecs: Math.floor(nowMs - each.hoursOld * HOUR_MS) }), runAtMs: each.dueInDays === 0 ? null : nowMs + each.dueInDays * DAY_MS,
      }));
      await coordinator.store.submit(rowsOf(queueId, jobs));
      jobs.forEach(({ id }) => lives.set(id, { state: undefined, endedMs: 0, tries: 0 }));
      return;
    }
    case 'claim': {
      await coordinator.store.promote();
      const lease = await coordinator.claim(queueId, each.jobs);
      if (lease !== undefined) leases.push(lease);
      return;
    }
    case 'end': {
      const [lease] = leases.splice(each.lease % (leases.length || 1), 1);
      if (lease !== undefined) await end(lease, each.as);
      return;
    }
    case 'cancel': {
      // What is leased may have been cancelled: its lease is then forgotten here.
      const held = new Set(leases.flatMap(({ jobIds }) => jobIds));
      const ids = [...lives].filter(([id, { state }]) => state === undefined && !held.has(id)).map(([id]) => id).slice(each.at).slice(0, each.jobs);
      for (const { id, outcome } of ids.length === 0 ? [] : await cancelJobs(pool, ids, 'no more', () => {})) {
        if (outcome === 'cancelled') Object.assign(lives.get(id)!, { state: CANCELLED, endedMs: await databaseNowMs(world) });
      }
    }
  }
}

async function end({ leaseId, secret, jobIds, attempts }: Claimed, as: 'succeeded' | 'failed' | 'tried again'): Promise<void> {
  const { store } = coordinator;
  const add = new Bits(jobIds.length);
  jobIds.forEach((_, place) => add.set(place));
  if (as === 'succeeded') {
    await store.settle([{ leaseId, secret, expected: new Bits(jobIds.length), add }],
      jobIds.map((jobId, place) => ({ jobId, leaseId, attempt: attempts[place]!, result: null, resultType: null, batchId: null })), []);
  } else {
    await store.mend((run) => store.writeDecisions(run, {
      masks: [{ leaseId, add }],
      outcomes: as === 'failed' ? jobIds.map((jobId, place) => ({ jobId, leaseId, state: FAILED, attempt: attempts[place]!, result: null, resultType: null })) : [],
      attempts: jobIds.map((jobId, place) => ({ jobId, number: attempts[place]!, leaseId, state: 1, startedAtMs: 0, workerId: 'w', code: 'X', message: '', details: '' })),
      returns: as === 'failed' ? [] : jobIds.map((jobId, place) => ({
        jobId, queueId, bytes: 400, priority: 0, attempt: attempts[place]! + 1, delayMs: place % 2 === 0 ? 0 : HOUR_MS, special: false, snoozed: false,
      })),
    }));
  }
  const endedMs = await databaseNowMs(world);
  for (const id of jobIds) {
    const life = lives.get(id)!;
    life.tries += as === 'succeeded' ? 0 : 1;
    if (as !== 'tried again') Object.assign(life, { state: as === 'failed' ? FAILED : SUCCEEDED, endedMs });
  }
}

interface Row {
  id: string;
  state: number | null;
  tries: number;
}

/** Two look at once, while others go on. */
async function retireAnd(t: ExecutionContext, meanwhile: Step[]): Promise<void> {
  const [before] = await partitionsOf(world);
  const startedMs = await databaseNowMs(world);
  await Promise.all([...retirers.map((each) => each.run()), meanwhile.reduce((done, each) => done.then(() => take(each)), Promise.resolve())]);
  const nowMs = await databaseNowMs(world);
  const partitions = await partitionsOf(world);
  const endMs = partitions[0]!.toMs;
  t.true(partitions.length <= PARTITIONS_MAX);
  const rows = await world.rows<Row>(`
    select j.id, o.state, (select count(*)::int from skiplease.attempt a where a.job_id = j.id) as tries
      from skiplease.job j left join skiplease.outcome o on o.job_id = j.id`);
  const there = new Map(rows.map((row) => [row.id, row]));
  for (const [id, { state, endedMs, tries }] of lives) {
    const goneMs = state === undefined ? Infinity : endedMs + (state === FAILED ? RETENTION.failedDays : RETENTION.days) * DAY_MS;
    const idMs = Number(`0x${id.slice(0, 8)}${id.slice(9, 13)}`);
    if (endMs > before!.toMs && idMs < endMs && goneMs < startedMs - ABOUT_MS) {
      t.false(there.has(id), 'it is forgotten');
      lives.delete(id);
    } else if (goneMs > nowMs + ABOUT_MS || there.has(id)) {
      t.deepEqual(there.get(id), { id, state: state ?? null, tries });
    } else {
      lives.delete(id);
    }
  }
  t.is(there.size, lives.size, 'and nothing else is there');
  for (const table of ['outcome', 'attempt']) {
    t.is(await world.count(table, 'not exists (select 1 from skiplease.job where id = job_id)'), 0, `no ${table} without its job`);
  }
  // Each is in one place, or this throws.
  t.is((await getJobs(pool, [...lives.keys()])).length, lives.size);
}

test('exactly those jobs are kept that should be, and all that are not final still run', async (t) => {
  const steps = (max: number) => fc.array(step, { maxLength: max });
  const someDays = async (hours: number, before: Step[], meanwhile: Step[]): Promise<void> => {
    for (const each of before) await take(each);
    await letDaysPass(world, coordinator.store, hours / 24);
    await retireAnd(t, meanwhile);
  };
  // One history without an end: each run is a few more days of it.
  await holdsFor(PROPERTY_MS, [fc.integer({ min: 5, max: 80 }), steps(12), steps(4)], someDays);
  await letDaysPass(world, coordinator.store, 10);
  for (const lease of leases.splice(0)) await end(lease, 'succeeded');
  await coordinator.store.promote();
  for (let lease = await coordinator.claim(queueId, 1_000); lease !== undefined; lease = await coordinator.claim(queueId, 1_000)) {
    await end(lease, 'succeeded');
  }
  t.deepEqual([...lives].filter(([, { state }]) => state === undefined), [], 'all have run');
});
