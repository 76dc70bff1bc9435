/**
 * Random histories of jobs with serial and limit keys in queues with limits, on two coordinators: at no moment runs more than the
 * limits allow, nothing starts faster than its buckets give, the jobs of a serial key run one after the other in the order of their
 * submission, and when all have ended nothing of the gates is left.
 */
import anyTest, { type ExecutionContext } from 'ava';
import fc from 'fast-check';
import type { Move } from '../../coordinator/engine/decide.ts';
import type { JobOptions, Limit, NewJob } from '../../coordinator/types.ts';
import { GatesWorld, mostAtOnce, mostOverRate, outOfOrder } from '../support/gates_world.ts';
import { LeaseExpirer } from '../support/lease_expirer.ts';
import { failed, released, succeeded, TestWorker, type SentLease } from '../support/store_engine.ts';
import { newJob } from '../support/store_jobs.ts';
import { PROPERTY_MS } from '../support/store_properties.ts';
import { holdsFor } from '../support/timed_property.ts';
import { waitFor } from '../support/wait.ts';

const test = anyTest.serial;
const WAIT = 1;

let world: GatesWorld;
let expirer: LeaseExpirer;
test.before(async () => {
  world = await GatesWorld.open();
  expirer = new LeaseExpirer(world.engines);
});
test.after.always(() => world?.close());

const at = fc.nat({ max: 1_000 });
const limit: fc.Arbitrary<Limit | null> = fc.option(fc.record({
  runningMax: fc.option(fc.integer({ min: 1, max: 4 })),
  rate: fc.option(fc.record({ starts: fc.integer({ min: 1, max: 3 }), periodMs: fc.constantFrom(10, 20), burst: fc.integer({ min: 1, max: 3 }) })),
}).filter(({ runningMax, rate }) => runningMax !== null || rate !== null));
const settings = fc.record({ limit, keyLimit: limit, serialRetry: fc.constantFrom(1, 2) });
type Chosen = typeof settings extends fc.Arbitrary<infer Value> ? Value : never;
const key = (letter: string) => fc.option(fc.constantFrom(`${letter}1`, `${letter}2`), { nil: undefined, freq: 3 });
const job = fc.record({ serialKey: key('s'), limitKey: key('l'), priority: fc.constantFrom(0, 0, 5) });
const step = fc.oneof(
  { weight: 5, arbitrary: fc.record({ do: fc.constant('submit' as const), engine: fc.nat(1), jobs: fc.array(job, { minLength: 1, maxLength: 5 }), later: fc.boolean() }) },
  { weight: 2, arbitrary: fc.record({ do: fc.constant('hello' as const), engine: fc.nat(1), jobs: fc.integer({ min: 1, max: 8 }) }) },
  {
    weight: 8, arbitrary: fc.record({
      do: fc.constant('report' as const), worker: at, lease: at, only: fc.integer({ min: 1, max: 8 }),
      moves: fc.array(fc.constantFrom('succeed', 'succeed', 'fail', 'fail later', 'fail for good', 'release'), { minLength: 1, maxLength: 4 }),
    }),
  },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('leave' as const), worker: at }) },
  { weight: 2, arbitrary: fc.record({ do: fc.constant('cancel' as const), jobs: fc.integer({ min: 1, max: 3 }), at }) },
  { weight: 2, arbitrary: fc.record({ do: fc.constant('expire' as const), engine: fc.nat(1), worker: at, lease: at }) },
);
type Step = typeof step extends fc.Arbitrary<infer Value> ? Value : never;

const MOVES: Record<string, () => Move> = {
  'succeed': () => succeeded(), 'fail': () => failed({ retryDelayMs: 0 }), 'fail later': () => failed({ retryDelayMs: 15 }),
  'fail for good': () => failed({ permanent: true }), 'release': () => released(),
};

class History {
  readonly queue: string;
  readonly jobs: NewJob[] = [];
  readonly workers: TestWorker[] = [];

  constructor(queue: string) {
    this.queue = queue;
  }

  async take(each: Step): Promise<void> {
    switch (each.do) {
      case 'submit': {
        const made = each.jobs.map(({ serialKey, limitKey, priority }) => newJob({
          queue: this.queue, priority, options: options(serialKey, limitKey),
          // Their turn comes when they are due: no order is promised then.
          runAtMs: each.later && serialKey === undefined ? world.engines[0]!.engine.nowMs() + 10 : null,
        }));
        await world.engines[each.engine]!.engine.submit(made);
        this.jobs.push(...made);
        return;
      }
      case 'hello': {
        const worker = new TestWorker(world.engines[each.engine]!.engine);
        await worker.hello({ queues: [this.queue], jobs: each.jobs });
        this.workers.push(worker);
        return;
      }
      case 'report': {
        const lease = this.#lease(each.worker, each.lease);
        await lease?.by.report(lease.token, lease.jobs.slice(0, each.only).map(({ id }, index) => ({ jobId: id, move: MOVES[each.moves[index % each.moves.length]!]!() })));
        return;
      }
      case 'leave': {
        const worker = this.workers[each.worker % (this.workers.length || 1)];
        if (worker !== undefined && !worker.closed) {
          worker.closed = true;
          worker.leave();
        }
        return;
      }
      case 'cancel': {
        const ids = this.jobs.slice(each.at % (this.jobs.length || 1)).slice(0, each.jobs).map(({ id }) => id);
        if (ids.length > 0) await world.cancel(ids);
        return;
      }
      case 'expire': {
        const lease = this.#lease(each.worker, each.lease);
        if (lease !== undefined) await expirer.expire(each.engine, BigInt(lease.token.split('.')[0]!));
      }
    }
  }

  #lease(worker: number, lease: number): (SentLease & { by: TestWorker }) | undefined {
    const by = this.workers[worker % (this.workers.length || 1)];
    const found = by?.leases[lease % (by.leases.length || 1)];
    return found === undefined ? undefined : { ...found, by: by! };
  }

  /** Workers hand back what they hold, and others do all that is left. */
  async finish(): Promise<void> {
    this.workers.filter(({ closed }) => !closed).forEach((worker) => worker.leave());
    const last = world.engines.map(({ engine }) => new TestWorker(engine));
    await Promise.all(last.map((worker) => worker.hello({ queues: [this.queue], jobs: 3 })));
    const done = new Set<SentLease>();
    await waitFor(async () => {
      await Promise.all(last.flatMap((worker) => worker.leases.filter((lease) => !done.has(lease)).map((lease) => {
        done.add(lease);
        return worker.succeed(lease);
      })));
      return (await world.store.count('outcome', 'job_id = any($1)', [this.jobs.map(({ id }) => id)])) === this.jobs.length;
    }, { deadlineMs: 10_000, what: 'every job to end' });
    last.forEach((worker) => worker.leave());
  }
}

function options(serialKey: string | undefined, limitKey: string | undefined): JobOptions | null {
  return serialKey === undefined && limitKey === undefined ? null
    : { ...(serialKey === undefined ? {} : { serialKey }), ...(limitKey === undefined ? {} : { limitKey }) };
}

async function check(t: ExecutionContext, history: History, queueId: number, { limit: own, keyLimit, serialRetry }: Chosen): Promise<void> {
  const order = new Map(history.jobs.map(({ id }, index) => [id, index]));
  const ran = (await world.ran(queueId)).sort((a, b) => order.get(a.id)! - order.get(b.id)!);
  const checkLimit = (jobs: typeof ran, { runningMax, rate }: Limit, what: string) => {
    if (runningMax !== null) t.true(mostAtOnce(jobs) <= runningMax, `${mostAtOnce(jobs)} ran of ${what}, the limit is ${runningMax}`);
    if (rate !== null) t.true(mostOverRate(jobs, rate) < 0.001, `${mostOverRate(jobs, rate)} too many starts of ${what}: ${JSON.stringify(rate)}`);
  };
  if (own !== null) checkLimit(ran, own, 'the queue');
  for (const [limitKey, jobs] of Map.groupBy(ran, (each) => each.limitKey)) {
    if (limitKey !== null && keyLimit !== null) checkLimit(jobs, keyLimit, limitKey);
  }
  for (const [serialKey, jobs] of Map.groupBy(ran, (each) => each.serialKey)) {
    if (serialKey === null) continue;
    t.true(mostAtOnce(jobs) <= 1, `one at a time of ${serialKey}`);
    // Who waits for tokens inside, or goes ahead while another backs off, is a later one of the same line; and so is a higher priority.
    if (serialRetry === WAIT) {
      for (const line of Map.groupBy(jobs, ({ priority }) => priority).values()) t.deepEqual(outOfOrder(line), [], `the order of ${serialKey}`);
    }
  }
}

async function play(t: ExecutionContext, queue: string, chosen: Chosen, rounds: Step[][]): Promise<void> {
  const history = new History(queue);
  const queueId = await world.set(queue, { ...chosen, maxAttempts: 100, leaseJobsMax: 4 });
  for (const round of rounds) {
    // Submits one after the other, for there to be an order; the rest at once.
    const submits = round.filter((each) => each.do === 'submit');
    await Promise.all([
      ...round.filter((each) => each.do !== 'submit').map((each) => history.take(each)),
      submits.reduce((before, each) => before.then(() => history.take(each)), Promise.resolve()),
    ]);
  }
  await history.finish();
  await check(t, history, queueId, chosen);
  await waitFor(async () => (await world.leftovers(queueId)).length === 0, { deadlineMs: 3_000, what: `nothing to be left of ${queue}` })
    .catch(async (error: Error) => {
      throw new Error(`${error.message}: ${JSON.stringify(await world.leftovers(queueId))}`);
    });
}

test('whatever happens, limits hold, serial keys keep their order, and nothing is left behind', async (t) => {
  let number = 0;
  const rounds = fc.array(fc.array(step, { minLength: 1, maxLength: 3 }), { minLength: 3, maxLength: 25 });
  await holdsFor(PROPERTY_MS, [settings, rounds], (chosen, steps) => play(t, `gates-${(number += 1)}`, chosen, steps));
  t.log(`${number} histories`);
});
