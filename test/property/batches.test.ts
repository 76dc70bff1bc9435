/**
 * Random histories of batches on two coordinators, and on applications that complete jobs in transactions of their own, whose
 * steps run at once, while somebody looks again and again: in every snapshot a batch counts exactly what the tables of jobs
 * and outcomes hold, it is finished once and for all when it is closed and all of its jobs are final, and its follow-up is
 * there from that moment on, once, with the same counts.
 */
import anyTest, { type ExecutionContext } from 'ava';
import fc from 'fast-check';
import { SkipleaseError } from '../../coordinator/errors.ts';
import { cancelJobs } from '../../coordinator/store/cancel_jobs.ts';
import type { CancelCommit } from '../../coordinator/store/cancel_jobs.ts';
import { cancelMatching } from '../../coordinator/store/cancel_matching.ts';
import { closeBatch } from '../../coordinator/store/close_batch.ts';
import { createBatch } from '../../coordinator/store/create_batch.ts';
import type { JobOptions, NewJob } from '../../coordinator/types.ts';
import { lookAtBatch } from '../support/batch_look.ts';
import type { BatchLook } from '../support/batch_look.ts';
import { openEnginePair } from '../support/engine_pair.ts';
import { failed, succeeded, TestWorker } from '../support/store_engine.ts';
import { newJob } from '../support/store_jobs.ts';
import { PROPERTY_MS } from '../support/store_properties.ts';
import { holdsFor } from '../support/timed_property.ts';
import { waitFor } from '../support/wait.ts';

const test = anyTest.serial;
const BATCHES = 2;
const ALL = {
  queueId: undefined, type: undefined, errorCode: undefined,
  idFrom: '00000000-0000-0000-0000-000000000000', idBefore: 'ffffffff-ffff-ffff-ffff-ffffffffffff',
};

const { world, pool, applications, engines, close } = await openEnginePair({ tickMs: 100 });
test.after.always(close);

const at = fc.nat({ max: 1_000 });
const batch = fc.nat(BATCHES - 1);
const step = fc.oneof(
  {
    weight: 6, arbitrary: fc.record({
      // Alone counted, with a plain job in the same submit, or with more that depends on its end; again: the last submit is repeated.
      do: fc.constant('submit' as const), engine: fc.nat(1), batch, jobs: fc.integer({ min: 1, max: 5 }),
      as: fc.constantFrom('counted', 'beside', 'keyed', 'again'),
    }),
  },
  {
    weight: 8, arbitrary: fc.record({
      do: fc.constant('report' as const), worker: at,
      moves: fc.array(fc.constantFrom('succeed', 'succeed', 'retry', 'fail'), { minLength: 1, maxLength: 4 }),
    }),
  },
  { weight: 2, arbitrary: fc.record({ do: fc.constant('report again' as const), worker: at }) },
  { weight: 2, arbitrary: fc.record({ do: fc.constant('in SQL' as const), worker: at, commits: fc.boolean() }) },
  { weight: 2, arbitrary: fc.record({ do: fc.constant('cancel' as const), at, jobs: fc.integer({ min: 1, max: 4 }) }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('close' as const), batch }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('cancel batch' as const), batch }) },
);
type Step = typeof step extends fc.Arbitrary<infer Value> ? Value : never;

const MOVES = { succeed: () => succeeded(), retry: () => failed({ retryDelayMs: 0 }), fail: () => failed({ permanent: true }) };

/** One history, with batches and a queue of its own. */
class History {
  readonly queue: string;
  readonly batches: { id: string; followUp: NewJob }[] = [];
  readonly jobs: NewJob[] = [];
  readonly workers: TestWorker[] = [];
  readonly #looks = new Map<string, BatchLook>();
  /** Whose closing was answered, and what they had in all then. */
  readonly #closed = new Set<string>();
  readonly #totals = new Map<string, number>();
  #last: NewJob[] = [];

  constructor(queue: string) {
    this.queue = queue;
  }

  async begin(): Promise<void> {
    const queueId = (await engines[0]!.engine.queue(`${this.queue}-after`)).id;
    for (let made = 0; made < BATCHES; made += 1) {
      const one = { id: newJob().id, followUp: newJob({ queue: `${this.queue}-after` }) };
      await createBatch(pool, one.id, '', { job: one.followUp, queueId, delayMs: null, startWithinMs: null });
      this.batches.push(one);
    }
    for (const { engine } of engines) {
      const worker = new TestWorker(engine);
      await worker.hello({ queues: [this.queue], jobs: 6 });
      this.workers.push(worker);
    }
  }

  /** The steps of a round run at once, and somebody looks meanwhile. */
  async round(t: ExecutionContext, steps: Step[]): Promise<void> {
    let running = true;
    const done = Promise.all(steps.map((each) => this.#take(each))).finally(() => {
      running = false;
    });
    do {
      await this.look(t);
    } while (running);
    await done;
  }

  /** What must hold in any snapshot, and from one to the next. */
  async look(t: ExecutionContext): Promise<BatchLook[]> {
    const looks: BatchLook[] = [];
    const closed = new Set(this.#closed);
    for (const { id, followUp } of this.batches) {
      const look = await lookAtBatch(pool, id, followUp.id);
      const before = this.#looks.get(id);
      t.deepEqual(look.counted, look.counts, 'it counts what is there');
      t.is(look.followUps, look.finishedAtMs === null ? 0 : 1, 'the follow-up is there from the moment that it is finished, once');
      if (look.finishedAtMs !== null) {
        t.true(look.closed && look.counts.total === look.counts.succeeded + look.counts.failed + look.counts.cancelled, 'finished: closed, and all are final');
        t.deepEqual(look.followUpCounts, look.counts, 'the follow-up knows how it went');
      }
      if (before?.finishedAtMs != null) {
        t.deepEqual(look, before, 'what is finished stays as it is');
      }
      // Looked up before the look: whoever was on the way in when it was closed is through by the time that the call is answered.
      if (closed.has(id)) {
        t.is(this.#totals.get(id) ?? look.counts.total, look.counts.total, 'what is closed takes no more');
        this.#totals.set(id, look.counts.total);
      }
      this.#looks.set(id, look);
      looks.push(look);
    }
    return looks;
  }

  /** Closes everything, and does what is left to do. */
  async end(): Promise<void> {
    await Promise.all(this.batches.map(({ id }) => this.#close(id)));
    await waitFor(async () => {
      await Promise.all(this.workers.map((worker) => this.#report(worker, worker.leases.splice(0), ['succeed'])));
      return (await world.count('batch', 'id = any($1) and finished_at is null', [this.batches.map(({ id }) => id)])) === 0;
    }, { deadlineMs: 20_000, what: 'the batches to be finished' });
    this.workers.forEach((worker) => worker.leave());
  }

  async #take(each: Step): Promise<void> {
    switch (each.do) {
      case 'submit':
        return this.#submit(each);
      case 'report': {
        const worker = this.workers[each.worker % this.workers.length]!;
        return this.#report(worker, worker.leases.splice(0, 1), each.moves);
      }
      case 'report again': {
        const worker = this.workers[each.worker % this.workers.length]!;
        return this.#report(worker, worker.leases.slice(0, 1), ['succeed']);
      }
      case 'in SQL':
        return this.#inSql(this.workers[each.worker % this.workers.length]!, each.commits);
      case 'cancel': {
        const ids = this.jobs.slice(each.at % (this.jobs.length || 1)).slice(0, each.jobs).map(({ id }) => id);
        return orOnTheMove(cancelJobs(pool, ids, 'no more', cancelled));
      }
      case 'close':
        return this.#close(this.batches[each.batch]!.id);
      case 'cancel batch': {
        const { id: batchId } = this.batches[each.batch]!;
        await this.#close(batchId);
        return orOnTheMove(cancelMatching(pool, { filter: { ...ALL, batchId }, reason: 'no more', running: 'cancel', stopped: () => false, committed: cancelled }));
      }
    }
  }

  async #close(batchId: string): Promise<void> {
    await closeBatch(pool, batchId);
    this.#closed.add(batchId);
  }

  async #submit(each: Extract<Step, { do: 'submit' }>): Promise<void> {
    const options: JobOptions = { batchId: this.batches[each.batch]!.id, ...(each.as === 'keyed' ? { serialKey: `${each.jobs}` } : {}) };
    const made = Array.from({ length: each.jobs }, () => newJob({ queue: this.queue, options }));
    const jobs = each.as === 'again' && this.#last.length > 0 ? [...this.#last, ...made] : each.as === 'beside' ? [...made, newJob({ queue: this.queue })] : made;
    try {
      await engines[each.engine]!.engine.submit(jobs);
      this.#last = jobs;
      this.jobs.push(...jobs);
    } catch (error) {
      if (!(error instanceof SkipleaseError) || error.reason !== 'BATCH_CLOSED') {
        throw error;
      }
    }
  }

  async #report(worker: TestWorker, leases: TestWorker['leases'], moves: (keyof typeof MOVES)[]): Promise<void> {
    for (const { token, jobs } of leases) {
      await worker.report(token, jobs.map(({ id }, index) => ({ jobId: id, move: MOVES[moves[index % moves.length]!]() })));
    }
  }

  /** Completes the first job of a lease, unless somebody was quicker. */
  async #inSql(worker: TestWorker, commits: boolean): Promise<void> {
    const lease = worker.leases[0];
    if (lease === undefined) {
      return;
    }
    const client = await applications.connect();
    await client.query('begin');
    await client.query('select skiplease.complete($1, $2)', [lease.token, lease.jobs[0]!.id]).catch((error: { code: string }) => {
      if (!error.code.startsWith('SK02')) {
        throw error as unknown as Error;
      }
    });
    await client.query(commits ? 'commit' : 'rollback');
    client.release();
  }
}

function cancelled(commit: CancelCommit): void {
  engines[0]!.engine.jobsCancelled(commit, 'no more');
}

/** A job that is on the move at each try may be cancelled by calling again: here it goes on. */
async function orOnTheMove(cancel: Promise<unknown>): Promise<void> {
  await cancel.catch((error: Error) => {
    if (!(error instanceof SkipleaseError) || error.code !== 'ABORTED') {
      throw error;
    }
  });
}

test('a batch counts exactly, is finished once, and has one follow-up, whatever happens at once', async (t) => {
  t.timeout(4 * PROPERTY_MS);
  let histories = 0;
  const live = async (rounds: Step[][]) => {
    const history = new History(`batches-${histories}`);
    await history.begin();
    for (const round of rounds) {
      await history.round(t, round);
    }
    await history.end();
    const looks = await history.look(t);
    t.true(looks.every(({ finishedAtMs }) => finishedAtMs !== null));
  };
  await holdsFor(PROPERTY_MS, [fc.array(fc.array(step, { minLength: 1, maxLength: 5 }), { minLength: 3, maxLength: 12 })], (rounds) => {
    histories += 1;
    return live(rounds);
  });
  t.log(`${histories} histories`);
  t.is(await world.count('batch_delta'), 0, 'nothing is left to fold');
});
