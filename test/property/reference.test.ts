/**
 * Random histories, one step after the other, on two coordinators and beside a small model of what the promises say (reference_model.ts):
 * after each step every receipt, every job, lease and attempt in the database, and every window must be what the model says. What happens
 * when steps run at once is for histories.test.ts.
 */
import anyTest, { type ExecutionContext } from 'ava';
import fc from 'fast-check';
import type { Move } from '../../coordinator/engine/decide.ts';
import { cancelJobs } from '../../coordinator/store/cancel_jobs.ts';
import { openEnginePair } from '../support/engine_pair.ts';
import type { Word } from '../support/reference_model.ts';
import { ReferenceRun, type Stream } from '../support/reference_run.ts';
import { failed, released, succeeded } from '../support/store_engine.ts';
import { newJob } from '../support/store_jobs.ts';
import { PROPERTY_MS } from '../support/store_properties.ts';
import { holdsFor } from '../support/timed_property.ts';

const test = anyTest.serial;
/** Far beyond the end of a history. */
const LATER_MS = 3_600_000;

const { world, pool, applications, engines, close } = await openEnginePair({ tickMs: 200 });
test.after.always(close);

const MOVES: Record<Word, () => Move> = {
  'succeed': () => succeeded(), 'fail': () => failed({ retryDelayMs: 0 }), 'fail later': () => failed({ retryDelayMs: LATER_MS }),
  'fail for good': () => failed({ permanent: true }), 'release': () => released(), 'snooze': () => released(LATER_MS, true),
};

/** What an application says in SQL. */
const CALLS = {
  'check': 'select skiplease.check_lease($1, $2)', 'succeed': 'select skiplease.complete($1, $2)',
  'fail': `select skiplease.fail($1, $2, 'BROKEN', retry_delay => '0')`, 'fail later': `select skiplease.fail($1, $2, 'BROKEN', retry_delay => '1 hour')`,
  'fail for good': `select skiplease.fail($1, $2, 'BROKEN', permanent => true)`,
} as const;

const at = fc.nat({ max: 1_000 });
const engine = fc.nat(1);
const window = fc.integer({ min: 1, max: 4 });
const words = fc.array(fc.constantFrom<Word>('succeed', 'succeed', 'fail', 'fail later', 'fail for good', 'release', 'snooze'), { minLength: 1, maxLength: 4 });
const step = fc.oneof(
  { weight: 8, arbitrary: fc.record({ do: fc.constant('submit' as const), engine, count: fc.integer({ min: 1, max: 5 }), repeats: fc.nat(2), at, later: fc.boolean() }) },
  { weight: 4, arbitrary: fc.record({ do: fc.constant('hello' as const), engine, window }) },
  { weight: 16, arbitrary: fc.record({ do: fc.constant('report' as const), lease: at, through: fc.option(at, { nil: undefined }), jobs: fc.nat(7), words }) },
  { weight: 4, arbitrary: fc.record({ do: fc.constant('report again' as const), at, through: at }) },
  { weight: 2, arbitrary: fc.record({ do: fc.constant('forge' as const), lease: at, of: at, through: at, words }) },
  { weight: 10, arbitrary: fc.record({ do: fc.constant('in SQL' as const), lease: at, job: at, word: fc.constantFrom(...(Object.keys(CALLS) as (keyof typeof CALLS)[])), commits: fc.boolean() }) },
  { weight: 4, arbitrary: fc.record({ do: fc.constant('cancel' as const), at, count: fc.integer({ min: 1, max: 3 }) }) },
  { weight: 5, arbitrary: fc.record({ do: fc.constant('reconnect' as const), at, engine, window, names: fc.nat(15), noticed: fc.boolean() }) },
  { weight: 2, arbitrary: fc.record({ do: fc.constant('leave' as const), at }) },
  { weight: 3, arbitrary: fc.record({ do: fc.constant('fall silent' as const), at }) },
  { weight: 3, arbitrary: fc.record({ do: fc.constant('time passes' as const) }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('kill a coordinator' as const), engine }) },
  { weight: 2, arbitrary: fc.record({ do: fc.constant('give up the dead' as const), engine }) },
);
type Step = typeof step extends fc.Arbitrary<infer Value> ? Value : never;

/** The element that a random number names. */
function pick<Item>(items: Item[], number: number): Item | undefined {
  return items[number % (items.length || 1)];
}

/** One history: takes each step on the coordinators and on the model, and compares what both say. */
class History {
  readonly #t: ExecutionContext;
  readonly run: ReferenceRun;
  readonly #reports: { token: string; outcomes: { jobId: string; word: Word }[] }[] = [];

  constructor(t: ExecutionContext, run: ReferenceRun) {
    this.#t = t;
    this.run = run;
  }

  async take(each: Step): Promise<void> {
    const { model } = this.run;
    this.run.adopt();
    switch (each.do) {
      case 'submit': {
        const repeats = model.jobIds.slice(each.at % (model.jobIds.length || 1)).slice(0, each.repeats).map((id) => newJob({ id, queue: this.run.queue }));
        const made = Array.from({ length: each.count }, () => newJob({ queue: this.run.queue, runAtMs: each.later ? this.run.engines[0]!.engine.nowMs() + LATER_MS : null }));
        const { existingIds } = await this.run.engines[each.engine]!.engine.submit([...made, ...repeats]);
        const place = each.later ? 'scheduled' : 'ready';
        this.#t.deepEqual(existingIds.toSorted(), model.submit([...made, ...repeats].map(({ id }) => id), place).toSorted());
        return;
      }
      case 'hello':
        await this.run.hello(each.engine, each.window);
        return;
      case 'report': {
        const lease = pick(this.run.leases, each.lease);
        const through = each.through === undefined ? this.#ownStream(lease?.session.id) : pick(this.#open(), each.through);
        const jobs = lease?.jobs.filter((_, index) => (each.jobs & (1 << index)) > 0) ?? [];
        await this.#report(through, lease?.token ?? '', jobs.map(({ id }, index) => ({ jobId: id, word: pick(each.words, index)! })));
        return;
      }
      case 'report again': {
        const again = pick(this.#reports, each.at);
        await this.#report(pick(this.#open(), each.through), again?.token ?? '', again?.outcomes ?? []);
        return;
      }
      case 'forge': {
        // The right lease with a wrong secret, or jobs that were never in it.
        const [lease, of] = [pick(this.run.leases, each.lease), pick(this.run.leases, each.of)];
        const token = lease === undefined ? '' : each.of % 2 === 0 ? `${lease.token.split('.')[0]}.0123456789abcdef` : lease.token;
        await this.#report(pick(this.#open(), each.through), token, (of?.jobs ?? []).map(({ id }, index) => ({ jobId: id, word: pick(each.words, index)! })));
        return;
      }
      case 'in SQL': {
        const lease = pick(this.run.leases, each.lease);
        if (lease !== undefined) {
          const job = pick(lease.jobs, each.job)!;
          if (each.commits && each.word !== 'check') this.run.movedBehind(lease.token, undefined);
          this.#t.is(await this.#inSql(CALLS[each.word], [lease.token, job.id], each.commits), model.inSql(lease.token, job.id, each.word, each.commits), `${each.word} in SQL`);
        }
        return;
      }
      case 'cancel': {
        const ids = model.jobIds.slice(each.at % (model.jobIds.length || 1)).slice(0, each.count);
        if (ids.length > 0) {
          const told = await cancelJobs(pool, ids, 'no more', (commit) => this.run.engines[0]!.engine.jobsCancelled(commit, 'no more'));
          this.#t.deepEqual(told.filter(({ outcome }) => outcome === 'cancelled').map(({ id }) => id), model.cancel(ids));
        }
        return;
      }
      case 'reconnect':
        return this.#reconnect(each);
      case 'leave': {
        const stream = pick(this.#open(), each.at);
        if (stream !== undefined) {
          stream.worker.close();
          stream.worker.leave();
          model.leave(stream.worker.session.id);
        }
        return;
      }
      case 'fall silent': {
        const stream = pick(this.run.streams.filter((one) => this.#inMemory(one)), each.at);
        if (stream !== undefined) {
          const { session } = stream.worker;
          stream.worker.fallSilent();
          await stream.engine.engine.sessions.giveUp([session], -1);
          this.run.adopt([stream]);
          model.giveUp(session.id);
        }
        return;
      }
      case 'time passes':
        await world.rows('update skiplease.scheduled set run_at = skiplease.now() where queue_id = (select id from skiplease.queue where name = $1)', [this.run.queue]);
        model.timePasses();
        return;
      case 'kill a coordinator':
        return this.run.killCoordinator(each.engine);
      case 'give up the dead':
        (await this.run.reap(each.engine)).forEach((id) => model.giveUpCoordinator(id));
    }
  }

  /** To any coordinator, with some of its tokens; its old stream may seem open to the coordinator that had it. */
  async #reconnect({ at: number, engine: to, window: size, names, noticed }: Extract<Step, { do: 'reconnect' }>): Promise<void> {
    const before = pick(this.run.streams, number);
    if (before === undefined) return;
    const { instanceId } = before.worker;
    const own = this.run.streams.filter(({ worker }) => worker.instanceId === instanceId);
    if (noticed) own.filter((one) => this.#inMemory(one) && one.worker.session.port !== undefined).forEach(({ worker }) => worker.break());
    const held = own.flatMap(({ worker }) => worker.leases).slice(-4).filter((_, index) => (names & (1 << index)) > 0).map(({ token }) => token);
    const here = new Set(own.filter((one) => one.engine === this.run.engines[to] && this.#inMemory(one)).map(({ worker }) => worker.session.id));
    const { stream, lost, resumed } = await this.run.hello(to, size, instanceId, held);
    const { coordinatorId, worker: { session } } = stream;
    this.run.adopt(own);
    const expected = this.run.model.resume(held, own.map(({ worker }) => worker.session.id), here, session.id, coordinatorId);
    this.#t.deepEqual(resumed, expected, 'what lives on');
    this.#t.deepEqual(lost.toSorted(), held.filter((token) => !expected.has(token)).toSorted(), 'what is lost');
    for (const { worker } of own) {
      worker.fallSilent();
      worker.leases.forEach(({ token }) => this.run.movedBehind(token, session));
    }
  }

  async #report(through: Stream | undefined, token: string, outcomes: { jobId: string; word: Word }[]): Promise<void> {
    if (through === undefined || outcomes.length === 0) return;
    this.#reports.push({ token, outcomes });
    this.run.movedBehind(token, through.worker.session);
    const receipts = await through.worker.report(token, outcomes.map(({ jobId, word }) => ({ jobId, move: MOVES[word]() })));
    const expected = this.run.model.report(token, outcomes);
    receipts.forEach(({ jobId, status }, index) => {
      this.#t.is(jobId, outcomes[index]!.jobId);
      this.#t.true(expected[index]!.includes(status), `${outcomes[index]!.word}: the receipt is ${status}, the model says ${expected[index]!.join(' or ')}`);
    });
  }

  async #inSql(text: string, values: string[], commits: boolean): Promise<string | undefined> {
    const client = await applications.connect();
    try {
      await client.query('begin');
      return await client.query(text, values).then(() => undefined, ({ code }: { code: string }) => code);
    } finally {
      await client.query(commits ? 'commit' : 'rollback');
      client.release();
    }
  }

  #inMemory({ engine: of, worker: { session } }: Stream): boolean {
    return this.run.engines.includes(of) && of.engine.sessions.get(session.id) === session;
  }

  #open(): Stream[] {
    return this.run.streams.filter((stream) => this.#inMemory(stream) && stream.worker.session.port !== undefined);
  }

  #ownStream(sessionId: string | undefined): Stream | undefined {
    return this.#open().find(({ worker }) => worker.session.id === sessionId) ?? this.#open()[0];
  }
}

test('after each step of a random history, receipts and database are what the model says', async (t) => {
  let histories = 0;
  let steps = 0;
  await holdsFor(PROPERTY_MS, [fc.array(step, { minLength: 10, maxLength: 60, size: 'max' })], async (taken) => {
    const history = new History(t, new ReferenceRun(world, engines));
    await history.run.begin();
    try {
      for (const each of taken) {
        await history.take(each);
        await history.run.catchUp().catch((error: Error) => {
          throw new Error(`After ${each.do}: ${error.message}`);
        });
        steps += 1;
      }
      histories += 1;
    } finally {
      history.run.end();
    }
  });
  t.log(`${histories} histories of ${steps} steps in all`);
});
