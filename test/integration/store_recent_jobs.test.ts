/** A claim takes what its own coordinator committed moments ago from memory: it must be what the database would have said. */
import test from 'ava';
import { v7 as uuidv7 } from 'uuid';
import type { ClaimedJob } from '../../coordinator/store/claim.ts';
import { RecentJobs } from '../../coordinator/store/recent_jobs.ts';
import { newSecret } from '../../coordinator/engine/token.ts';
import { POSITIONS_OF_A_DRAW } from '../../coordinator/limits.ts';
import { newJob, newJobs, rowsOf } from '../support/store_jobs.ts';
import { StoreWorld, type StoreCoordinator } from '../support/store_world.ts';

let world: StoreWorld;
test.before(async () => {
  world = await StoreWorld.open();
});
test.after.always(() => world?.close());

async function claim(by: StoreCoordinator, queueId: number, jobs: number, bytes = 1 << 30): Promise<ClaimedJob[]> {
  const slot = { sessionId: uuidv7(), secret: newSecret(), jobs, bytes, firstAtAnySize: true };
  const levels = [9, 4, 0].map((priority) => ({ priority, mark: 0n }));
  const { slots } = await by.store.claim(by.id, [{ queueId, levels, slots: [slot] }]);
  return slots[0]![0]?.jobs ?? [];
}

/** What a worker is told of a job, whichever way it came. */
const told = ({ payload, headers, checkpoint, ...rest }: ClaimedJob) => ({
  ...rest, waitedMs: undefined, payload: Buffer.from(payload).toString('hex'), headers: headers === null ? null : (JSON.parse(headers) as object),
  checkpoint: checkpoint === null ? null : Buffer.from(checkpoint).toString('hex'),
});

const variety = () =>
  Array.from({ length: 120 }, (_, index) => newJob({
    queue: 'q',
    type: index % 7 === 0 ? 'other' : 'bench',
    priority: [0, 4, 9][index % 3]!,
    payload: Buffer.alloc(index * 3, index),
    contentType: index % 5 === 0 ? 'application/json' : null,
    maxAttempts: index % 4 === 0 ? index + 1 : null,
    timeoutMs: index % 6 === 0 ? 1_000 + index : null,
    headers: index % 9 === 0 ? JSON.stringify({ a: 'ä', index: String(index) }) : null,
    runAtMs: index % 10 === 3 ? Date.now() + 3_600_000 : null,
  }));

test('what is remembered is what was read by a coordinator that has to read it', async (t) => {
  const [here, elsewhere] = [world.coordinator(), world.coordinator()];
  const first = await world.queue('first');
  const second = await world.queue('second');
  const jobs = variety();
  await world.submit(here, first, jobs);
  const copies = jobs.map((job) => ({ ...job, id: uuidv7() }));
  await world.submit(here, second, copies);
  const remembered = [...await claim(here, first, 40), ...await claim(here, first, 1_000)].map(told);
  const read = (await claim(elsewhere, second, 1_000)).map(told);
  t.is(read.length, jobs.filter(({ runAtMs }) => runAtMs === null).length);
  const original = new Map(copies.map(({ id }, index) => [id, jobs[index]!.id]));
  t.deepEqual(remembered, read.map((job) => ({ ...job, id: original.get(job.id)! })));
});

test('a job that comes back is read, with its checkpoint', async (t) => {
  const here = world.coordinator();
  const queueId = await world.queue('back');
  await world.submit(here, queueId, newJobs(60, { queue: 'back' }));
  const [job] = await claim(here, queueId, 1);
  await world.rows(`insert into skiplease.progress values ($1, 1, 50, '', '\\xc0de', 'x', now())`, [job!.id]);
  await world.rows(`insert into skiplease.ready ("position", job_id, since, queue_id, bytes, priority, attempt, again)
    values (nextval('skiplease.position') * $2, $1, now(), $3, 400, 9, 2, true)`, [job!.id, POSITIONS_OF_A_DRAW, queueId]);
  const [again, next] = await claim(here, queueId, 2);
  t.like(again, { id: job!.id, attempt: 2, priority: 9, payload: job!.payload });
  t.is(Buffer.from(again!.checkpoint!).toString('hex'), 'c0de');
  t.is(next!.checkpoint, null);
});

test('with bytes that shut some out, what is left is claimed next, each job once', async (t) => {
  const here = world.coordinator();
  const queueId = await world.queue('shut out');
  const jobs = newJobs(100, { queue: 'shut out' }).map((job, index) => ({ ...job, payload: Buffer.alloc((index % 10) * 100) }));
  await world.submit(here, queueId, jobs);
  const got: string[] = [];
  for (let leases = 0; leases < 200 && got.length < jobs.length; leases += 1) {
    const lease = await claim(here, queueId, 30, 4_000);
    t.true(lease.length === 1 || lease.reduce((sum, { bytes }) => sum + bytes, 0) <= 4_000);
    got.push(...lease.map(({ id }) => id));
  }
  t.deepEqual(got, jobs.map(({ id }) => id));
});

test('memory is bounded: it takes no more in when full, forgets what was claimed, and what nobody claims for a while', (t) => {
  let nowMs = 0;
  const recent = new RecentJobs(() => nowMs);
  const rows = (count: number, bytes = 0) => rowsOf(1, newJobs(count, { payload: Buffer.alloc(bytes) }));
  recent.keep(1, rows(10));
  t.deepEqual(recent.lend().draws, [], 'too few to be worth it');
  recent.keep(2, rows(100));
  recent.keep(3, rows(100, 400_000));
  recent.keep(4, rows(100));
  t.deepEqual(recent.lend().draws, [2, 3], 'full');
  const lent = recent.lend();
  for (let place = 1; place <= 100; place += 1) t.truthy(lent.take(3 * POSITIONS_OF_A_DRAW + place));
  t.deepEqual(recent.lend().draws, [2], 'all claimed');
  nowMs += 6_000;
  recent.keep(5, rows(100));
  t.deepEqual(recent.lend().draws, [2, 5]);
  nowMs += 6_000;
  t.deepEqual(recent.lend().draws, [5]);
  t.truthy(lent.take(2 * POSITIONS_OF_A_DRAW + 1), 'a claim under way keeps what it was lent');
  t.is(lent.take(9 * POSITIONS_OF_A_DRAW + 1), undefined);
});
