/**
 * Random histories on two coordinators, some of whose steps run at once, and on applications that complete and fail jobs in
 * transactions of their own: whatever happens, each job is in one place, ends once, every receipt is true, no window leaks, and
 * nothing is lost.
 */
import anyTest, { type ExecutionContext } from 'ava';
import fc from 'fast-check';
import type { Move } from '../../coordinator/engine/decide.ts';
import { ReceiptStatus } from '../../coordinator/engine/messages.ts';
import type { Session } from '../../coordinator/engine/session.ts';
import { cancelJobs } from '../../coordinator/store/cancel_jobs.ts';
import type { NewJob } from '../../coordinator/types.ts';
import { openEnginePair } from '../support/engine_pair.ts';
import { LeaseExpirer } from '../support/lease_expirer.ts';
import { newJobs } from '../support/store_jobs.ts';
import { failed, released, succeeded, TestWorker, type SentLease } from '../support/store_engine.ts';
import { PROPERTY_MS } from '../support/store_properties.ts';
import { holdsFor } from '../support/timed_property.ts';
import { waitFor } from '../support/wait.ts';

const test = anyTest.serial;
const { ACCEPTED, DUPLICATE, LEASE_LOST, CANCELLED } = ReceiptStatus;
const MAX_ATTEMPTS = 3;

const { world, pool, applications, engines, close } = await openEnginePair({ tickMs: 200 });
test.after.always(close);
const expirer = new LeaseExpirer(engines);

const at = fc.nat({ max: 1_000 });
const step = fc.oneof(
  { weight: 4, arbitrary: fc.record({ do: fc.constant('submit' as const), engine: fc.nat(1), jobs: fc.integer({ min: 1, max: 6 }), repeats: fc.integer({ min: 0, max: 3 }), at }) },
  { weight: 2, arbitrary: fc.record({ do: fc.constant('hello' as const), engine: fc.nat(1), jobs: fc.integer({ min: 1, max: 12 }) }) },
  {
    weight: 8, arbitrary: fc.record({
      do: fc.constant('report' as const), worker: at, lease: at, through: at, only: fc.integer({ min: 1, max: 12 }),
      moves: fc.array(fc.constantFrom('succeed', 'succeed', 'fail', 'fail later', 'fail for good', 'release'), { minLength: 1, maxLength: 4 }),
    }),
  },
  { weight: 2, arbitrary: fc.record({ do: fc.constant('report again' as const), at }) },
  {
    weight: 5, arbitrary: fc.record({
      do: fc.constant('in SQL' as const), worker: at, lease: at, first: at, only: fc.integer({ min: 1, max: 4 }), commits: fc.boolean(),
      moves: fc.array(fc.constantFrom('succeed', 'succeed', 'fail', 'fail later', 'fail for good'), { minLength: 1, maxLength: 3 }),
    }),
  },
  { weight: 2, arbitrary: fc.record({ do: fc.constant('reconnect' as const), worker: at, engine: fc.nat(1), names: fc.nat(3) }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('leave' as const), worker: at }) },
  { weight: 2, arbitrary: fc.record({ do: fc.constant('cancel' as const), jobs: fc.integer({ min: 1, max: 3 }), at }) },
  { weight: 2, arbitrary: fc.record({ do: fc.constant('expire' as const), engine: fc.nat(1), worker: at, lease: at }) },
);
type Step = typeof step extends fc.Arbitrary<infer Value> ? Value : never;

const MOVES: Record<string, () => Move> = {
  'succeed': () => succeeded(), 'fail': () => failed({ retryDelayMs: 0 }), 'fail later': () => failed({ retryDelayMs: 15 }),
  'fail for good': () => failed({ permanent: true }), 'release': () => released(),
};

/** What an application says in SQL. */
const CALLS: Record<string, string> = {
  'succeed': 'select skiplease.complete($1, $2)', 'fail': `select skiplease.fail($1, $2, 'BROKEN', retry_delay => '0')`,
  'fail later': `select skiplease.fail($1, $2, 'BROKEN', retry_delay => '15 ms')`, 'fail for good': `select skiplease.fail($1, $2, 'BROKEN', permanent => true)`,
};

const SAID_IN_SQL: Record<string, ReceiptStatus> = { SK020: LEASE_LOST, SK021: CANCELLED, SK022: DUPLICATE, SK023: DUPLICATE };

interface Said {
  leaseId: string;
  jobId: string;
  move: Move;
  status: ReceiptStatus;
}

/** One history, and what its workers and submitters were told. */
class History {
  readonly queue: string;
  readonly jobs: NewJob[] = [];
  readonly workers: TestWorker[] = [];
  readonly said: Said[] = [];
  readonly reports: { worker: TestWorker; token: string; jobs: { jobId: string; move: Move }[] }[] = [];
  readonly cancelled: string[] = [];
  /** Sessions that somebody else settled something for: they learn of it when their worker next reports it. */
  readonly unaware = new Set<Session>();
  readonly #reconnecting = new Set<string>();
  #settling: { token: string; by: Session | undefined }[] = [];

  constructor(queue: string) {
    this.queue = queue;
  }

  /** The steps of one round run at once. */
  async round(steps: Step[]): Promise<void> {
    await Promise.all(steps.map((each) => this.take(each)));
    // Also those who took a lease up while it was being settled for.
    this.#reconnecting.clear();
    this.#settling.splice(0).forEach(({ token, by }) => this.#findUnaware(token, by));
  }

  async take(each: Step): Promise<void> {
    switch (each.do) {
      case 'submit': {
        const repeats = this.jobs.length === 0 ? [] : Array.from({ length: each.repeats }, (_, index) => this.jobs[(each.at + index) % this.jobs.length]!);
        const made = newJobs(each.jobs, { queue: this.queue });
        await engines[each.engine]!.engine.submit([...made, ...repeats]);
        this.jobs.push(...made);
        return;
      }
      case 'hello': {
        const worker = new TestWorker(engines[each.engine]!.engine);
        await worker.hello({ queues: [this.queue], jobs: each.jobs });
        this.workers.push(worker);
        return;
      }
      case 'report': {
        const lease = this.#lease(each.worker, each.lease);
        if (lease !== undefined) {
          // Any session may report under any token: the token alone counts.
          const through = this.workers[each.through % this.workers.length]!;
          const jobs = lease.jobs.slice(0, each.only).map(({ id }, index) => ({ jobId: id, move: MOVES[each.moves[index % each.moves.length]!]!() }));
          await this.#report(through, lease.token, jobs);
        }
        return;
      }
      case 'report again': {
        const again = this.reports[each.at % (this.reports.length || 1)];
        if (again !== undefined) await this.#report(again.worker, again.token, again.jobs);
        return;
      }
      case 'in SQL': {
        const lease = this.#lease(each.worker, each.lease);
        if (lease !== undefined) {
          this.#settlesFor(lease.token, undefined);
          await this.#inSql(lease, each.first, each.only, each.moves, each.commits);
        }
        return;
      }
      case 'reconnect': {
        const before = this.workers[each.worker % (this.workers.length || 1)];
        if (before !== undefined && !before.closed && !this.#reconnecting.has(before.instanceId)) {
          this.#reconnecting.add(before.instanceId);
          // Whichever of its streams it was: the worker has no other left.
          this.workers.filter(({ instanceId, closed }) => instanceId === before.instanceId && !closed).forEach((stream) => stream.break());
          const worker = new TestWorker(engines[each.engine]!.engine, before.instanceId);
          await worker.hello({ queues: [this.queue], jobs: 8, held: before.leases.slice(-each.names - 1).map(({ token }) => token) }).catch(() => {});
          if (worker.session !== undefined) {
            worker.leases.push(...before.leases);
            this.workers.push(worker);
          }
        }
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
        if (ids.length > 0) {
          await cancelJobs(pool, ids, 'no more', (commit) => engines[0]!.engine.jobsCancelled(commit, 'no more'))
            .then((results) => this.cancelled.push(...results.filter(({ outcome }) => outcome === 'cancelled').map(({ id }) => id)));
        }
        return;
      }
      case 'expire': {
        const lease = this.#lease(each.worker, each.lease);
        if (lease !== undefined) {
          this.#settlesFor(lease.token, undefined);
          await expirer.expire(each.engine, BigInt(lease.token.split('.')[0]!));
        }
      }
    }
  }

  #lease(worker: number, lease: number): SentLease | undefined {
    const { leases } = this.workers[worker % (this.workers.length || 1)] ?? { leases: [] };
    return leases[lease % (leases.length || 1)];
  }

  #settlesFor(token: string, by: Session | undefined): void {
    this.#settling.push({ token, by });
    this.#findUnaware(token, by);
  }

  #findUnaware(token: string, by: Session | undefined): void {
    const leaseId = BigInt(token.split('.')[0]!);
    for (const { engine } of engines) {
      for (const session of engine.sessions.all()) {
        if (session !== by && session.leases.has(leaseId)) this.unaware.add(session);
      }
    }
  }

  /** One transaction for several jobs, each behind a savepoint. What was said in it counts when it commits. */
  async #inSql(lease: SentLease, first: number, only: number, moves: string[], commits: boolean): Promise<void> {
    const said: Said[] = [];
    const client = await applications.connect();
    try {
      await client.query('begin');
      for (let index = 0; index < Math.min(only, lease.jobs.length); index += 1) {
        const { id: jobId } = lease.jobs[(first + index) % lease.jobs.length]!;
        const kind = moves[index % moves.length]!;
        await client.query('savepoint job');
        const error = await client.query(CALLS[kind]!, [lease.token, jobId]).then(() => undefined, (caught: { code: string }) => caught);
        // Two that want to give back jobs of one lease may end each other's wait; one is then told to come again.
        if (error?.code === '40P01') break;
        if (error !== undefined) await client.query('rollback to savepoint job');
        const status = error === undefined ? ACCEPTED : SAID_IN_SQL[error.code];
        if (status === undefined) throw error as unknown as Error;
        said.push({ leaseId: lease.token.split('.')[0]!, jobId, move: MOVES[kind]!(), status });
      }
    } finally {
      const { command } = await client.query(commits ? 'commit' : 'rollback');
      if (command === 'COMMIT') this.said.push(...said);
      client.release();
    }
  }

  async #report(worker: TestWorker, token: string, jobs: { jobId: string; move: Move }[]): Promise<void> {
    this.reports.push({ worker, token, jobs });
    this.#settlesFor(token, worker.session);
    const receipts = await worker.report(token, jobs);
    receipts.forEach(({ jobId, status }, index) => this.said.push({ leaseId: token.split('.')[0]!, jobId, move: jobs[index]!.move, status }));
  }
}

const PLACES = `
  select j.id, (select count(*) from skiplease.outcome o where o.job_id = j.id)::int + (select count(*) from skiplease.scheduled s where s.job_id = j.id)::int
       + (select count(*) from skiplease.ready r where r.job_id = j.id)::int + coalesce(h.holds, 0)::int as places,
         (select state from skiplease.outcome o where o.job_id = j.id) as state,
         (select attempt from (select attempt from skiplease.ready where job_id = j.id union all select attempt from skiplease.scheduled where job_id = j.id) w) as next,
         (select count(*) from skiplease.attempt a where a.job_id = j.id)::int as tries
    from skiplease.job j
    left join (select u.id, count(*) as holds from skiplease.lease l cross join unnest(l.job_ids) with ordinality as u (id, place)
                where get_bit(l.settled, u.place::int - 1) = 0
                  and not exists (select from skiplease.outcome o where o.job_id = u.id and o.lease_id = l.id) group by u.id) h on h.id = j.id
   where j.queue_id = $1`;

interface Place {
  id: string;
  places: number;
  state: number | null;
  next: number | null;
  tries: number;
}

/** In any snapshot: each job is in one place, a final state stays, and only failed and expired tries are counted. */
async function checkPlaces(t: ExecutionContext, queueId: number, final: Map<string, number>): Promise<Place[]> {
  const places = await world.rows<Place>(PLACES, [queueId]);
  for (const { id, places: count, state, next, tries } of places) {
    t.is(count, 1, `${id} is in one place`);
    if (final.has(id)) t.is(state, final.get(id)!, 'final is final');
    if (state !== null) final.set(id, state);
    if (next !== null) t.is(next, tries + 1, 'the next attempt follows those that were spent');
  }
  return places;
}

/** What each was told is what is on record. */
async function checkReceipts(t: ExecutionContext, history: History): Promise<void> {
  const ids = history.jobs.map(({ id }) => id);
  const outcomes = new Map((await world.rows<{ job_id: string; lease_id: string | null; state: number; attempt: number }>(
    'select job_id, lease_id, state, attempt from skiplease.outcome where job_id = any($1)', [ids])).map((row) => [row.job_id, row]));
  const tries = Map.groupBy(await world.rows<{ job_id: string; number: number; lease_id: string; state: number }>(
    'select job_id, number, lease_id, state from skiplease.attempt where job_id = any($1) order by number', [ids]), ({ job_id: id }) => id);
  const said = Map.groupBy(history.said, ({ jobId }) => jobId);
  for (const id of ids) {
    const outcome = outcomes.get(id)!;
    const failures = tries.get(id) ?? [];
    const words = said.get(id) ?? [];
    const accepted = (kind: string) => words.filter(({ status, move }) => status === ACCEPTED && move.kind === kind);
    t.deepEqual(accepted('succeed').map(({ leaseId }) => leaseId), outcome.state === 4 ? [outcome.lease_id!] : [], 'one success was accepted, or none');
    t.deepEqual(accepted('fail').map(({ leaseId }) => leaseId).toSorted(), failures.filter(({ state }) => state === 1).map((row) => row.lease_id).toSorted(), 'each failure that was accepted is on record');
    t.is(history.cancelled.filter((cancelled) => cancelled === id).length, outcome.state === 6 ? 1 : 0, 'cancelled once, and told so once');
    t.deepEqual(failures.map(({ number }) => number), failures.map((_, index) => index + 1));
    t.true(failures.length <= MAX_ATTEMPTS, 'no more attempts than allowed');
    if (outcome.state === 4) t.is(outcome.attempt, failures.length + 1);
    if (outcome.state === 5) t.is(outcome.attempt, failures.length);
    for (const { leaseId, move, status } of words) {
      const failedHere = failures.some((row) => row.lease_id === leaseId && row.state === 1);
      const endedHere = outcome.lease_id === leaseId && outcome.state !== 6;
      const releasedHere = words.some((word) => word.leaseId === leaseId && word.move.kind === 'release' && word.status === ACCEPTED);
      if (status === DUPLICATE) t.true(failedHere || endedHere || releasedHere || move.kind === 'release', 'a duplicate has its first');
      if (status === LEASE_LOST) t.false(words.some((word) => word.leaseId === leaseId && word.status === ACCEPTED && word.move.kind !== 'release'), 'what was accepted is never called lost');
      if (status === CANCELLED) t.is(outcome.state, 6);
      t.true([ACCEPTED, DUPLICATE, LEASE_LOST, CANCELLED].includes(status as 1), `no other receipt: ${status}`);
    }
  }
}

/** Every session counts what it holds, no more and no less; never less where it cannot know. */
async function checkWindows(history: History): Promise<void> {
  const live = history.workers.map(({ session }) => session).filter((session) => session.port !== undefined && engines.some(({ engine }) => engine.sessions.get(session.id) === session));
  let seen = '';
  await waitFor(async () => {
    const held = await world.rows<{ id: string; jobs: number }>(
      `select session_id as id, sum(length(settled) - bit_count(settled))::int as jobs from skiplease.lease where session_id = any($1) group by session_id`,
      [live.map(({ id }) => id)]);
    const jobs = new Map(held.map((row) => [row.id, row.jobs]));
    seen = live.map((session) => `${session.heldJobs} of ${jobs.get(session.id) ?? 0}${history.unaware.has(session) ? ' (unaware)' : ''}`).join(', ');
    return live.every((session) => {
      const really = jobs.get(session.id) ?? 0;
      return (history.unaware.has(session) ? session.heldJobs >= really : session.heldJobs === really) && session.heldBytes >= 0;
    });
  }, { deadlineMs: 3_000, what: 'windows to be what is held' }).catch((error: Error) => {
    throw new Error(`${error.message}: they count ${seen}`);
  });
}

/** Whoever still holds something is given up; a last worker does all that is left. */
async function finish(history: History, queueId: number): Promise<void> {
  history.workers.forEach((worker) => {
    worker.session.draining = true;
    worker.fallSilent();
  });
  const last = new TestWorker(engines[0]!.engine);
  await last.hello({ queues: [history.queue], jobs: 1_000 });
  history.workers.push(last);
  let done = 0;
  await waitFor(async () => {
    const left = await world.rows<{ id: string; coordinator_id: string }>(
      `select id, coordinator_id from skiplease.lease where queue_id = $1 and session_id <> $2 and bit_count(settled) < length(settled)`, [queueId, last.session.id]);
    await Promise.all(left.map(({ id, coordinator_id: owner }) => expirer.expire(engines.findIndex(({ engine }) => engine.coordinatorId === owner), BigInt(id))));
    // What those who gave it up told nobody: the coordinators' own would wake their dispatchers.
    if (left.length > 0) await world.rows(`select pg_notify('skiplease', '{"from":"a test","all":true}')`);
    for (; done < last.leases.length; done += 1) {
      const lease = last.leases[done]!;
      await history.take({ do: 'report', worker: history.workers.length - 1, lease: done, through: history.workers.length - 1, only: lease.jobs.length, moves: ['succeed'] });
    }
    return (await world.count('job', 'queue_id = $1 and not exists (select 1 from skiplease.outcome where job_id = id)', [queueId])) === 0;
  }, { deadlineMs: 10_000, what: 'every job to end' });
}

let histories = 0;

test('whatever happens, each job ends once, every receipt is true, and nothing is lost', async (t) => {
  const round = fc.array(step, { minLength: 1, maxLength: 3 });
  await holdsFor(PROPERTY_MS, [fc.array(round, { minLength: 8, maxLength: 22 })], async (rounds) => {
    histories += 1;
    const queue = `history${histories}`;
    const queueId = await world.queue(queue);
    await world.rows('update skiplease.queue set max_attempts = $1, lease_jobs_max = 4 where id = $2', [MAX_ATTEMPTS, queueId]);
    const history = new History(queue);
    const final = new Map<string, number>();
    await history.take({ do: 'hello', engine: 0, jobs: 8 });
    await history.take({ do: 'submit', engine: 1, jobs: 6, repeats: 0, at: 0 });
    for (const steps of rounds) {
      await history.round(steps);
      await checkPlaces(t, queueId, final);
    }
    await checkWindows(history);
    await finish(history, queueId);
    const places = await checkPlaces(t, queueId, final);
    t.deepEqual(places.map(({ id }) => id).toSorted(), history.jobs.map(({ id }) => id).toSorted(), 'every job that was accepted, and no other');
    await checkReceipts(t, history);
    for (const worker of history.workers) engines.forEach(({ engine }) => engine.sessions.get(worker.session.id) && engine.sessions.leave(worker.session));
  });
  t.log(`${histories} histories`);
});
