import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { setImmediate as turn } from 'node:timers/promises';
import { systemClock } from '../../coordinator/clock.ts';
import { Mender } from '../../coordinator/engine/mender.ts';
import { QueueCache } from '../../coordinator/engine/queue_cache.ts';
import { Reaper } from '../../coordinator/engine/reaper.ts';
import type { Session } from '../../coordinator/engine/session.ts';
import type { Standing } from '../../coordinator/engine/standing.ts';
import { Sweeper } from '../../coordinator/engine/sweeper.ts';
import { createMetrics } from '../../coordinator/observe/metrics.ts';
import type { Beat } from '../../coordinator/store/coordinators.ts';
import { ReferenceModel, type JobLook, type LeaseLook } from './reference_model.ts';
import { startEngine, TestWorker, type SentLease, type TestEngine } from './store_engine.ts';
import type { StoreWorld } from './store_world.ts';

const TTL_MS = 60_000;
const MAX_ATTEMPTS = 3;
const LEASE_JOBS_MAX = 3;
/** A coordinator that hears of something by NOTIFY does so within a quarter of a second; the rest is for a busy machine. */
const CATCH_UP_MS = 10_000;
const POKE_MS = 5;

/** Where each job is, all in one snapshot. What is due in `scheduled` is as good as ready. */
const JOBS = `
  select j.id, coalesce(o.state::text, case when s.run_at > skiplease.now() then 'scheduled' when s.job_id is not null then 'due' end,
                        case when r.job_id is not null then 'ready' end, case when h.id is not null then 'held' end, 'nowhere') as place,
         coalesce(o.attempt, s.attempt, r.attempt, h.attempt) as attempt, coalesce(o.lease_id, h.id)::text as lease,
         (o.job_id is not null)::int + (s.job_id is not null)::int + (r.job_id is not null)::int + (h.id is not null and o.job_id is null)::int as places,
         array(select number || case state when 1 then ' failed under ' else ' expired under ' end || lease_id from skiplease.attempt a
                where a.job_id = j.id order by number) as tries
    from skiplease.job j
    left join skiplease.outcome o on o.job_id = j.id
    left join skiplease.scheduled s on s.job_id = j.id
    left join skiplease.ready r on r.job_id = j.id
    left join (select l.id, u.job_id, l.attempts[u.place] as attempt from skiplease.lease l cross join unnest(l.job_ids) with ordinality as u (job_id, place)
                where get_bit(l.settled, u.place::int - 1) = 0) h on h.job_id = j.id
   where j.queue_id = $1`;

const LEASES = `
  select l.id::text, l.session_id, l.coordinator_id, array_agg(u.job_id::text order by u.job_id::text) as open
    from skiplease.lease l cross join unnest(l.job_ids) with ordinality as u (job_id, place)
   where l.queue_id = $1 and get_bit(l.settled, u.place::int - 1) = 0 group by l.id`;

const STATES: Record<string, JobLook['place'] | 'due'> = { 4: 'succeeded', 5: 'failed', 6: 'cancelled' };

/** A worker's stream, of which the coordinator may not know yet that it has broken. */
export interface Stream {
  worker: TestWorker;
  engine: TestEngine;
  coordinatorId: string;
  window: number;
  /** Leases that it was sent, as far as the model knows of them. */
  adopted: number;
}

/** One history on real coordinators, and the model beside it: after each step both must look the same. */
export class ReferenceRun {
  readonly model = new ReferenceModel(MAX_ATTEMPTS);
  readonly queue = `reference-${randomUUID()}`;
  readonly streams: Stream[] = [];
  /** Sessions of whose leases somebody else has settled, or taken, something: they count more than they hold until they hear of it. */
  readonly #unaware = new Set<Session>();
  readonly #world: StoreWorld;
  readonly engines: TestEngine[];
  readonly #dead: string[] = [];
  #queueId = 0;

  constructor(world: StoreWorld, engines: TestEngine[]) {
    this.#world = world;
    this.engines = engines;
  }

  async begin(): Promise<void> {
    this.#queueId = await this.#world.queue(this.queue);
    await this.#world.rows('update skiplease.queue set max_attempts = $1, lease_jobs_max = $2 where id = $3', [MAX_ATTEMPTS, LEASE_JOBS_MAX, this.#queueId]);
  }

  /** Every lease that any worker was ever sent. */
  get leases(): SentLease[] {
    return this.streams.flatMap(({ worker }) => worker.leases);
  }

  async hello(engine: number, window: number, instanceId?: string, held: string[] = []): Promise<{ stream: Stream; lost: string[]; resumed: Map<string, string[]> }> {
    const of = this.engines[engine]!;
    const stream: Stream = { worker: new TestWorker(of.engine, instanceId), engine: of, coordinatorId: of.engine.coordinatorId, window, adopted: 0 };
    const { lostTokens, resumed } = await stream.worker.hello({ queues: [this.queue], jobs: window, held });
    this.streams.push(stream);
    return { stream, lost: lostTokens, resumed: new Map(resumed.map((lease) => [lease.token, lease.unsettledJobIds().toSorted()])) };
  }

  /** What somebody else than the session that holds it settles, or takes, under this lease. */
  movedBehind(token: string, by: Session | undefined): void {
    const leaseId = BigInt(token.split('.')[0]!);
    for (const { worker: { session } } of this.streams) {
      if (session !== by && session.leases.has(leaseId)) {
        this.#unaware.add(session);
        // It may hear of its room at any time, and be leased jobs in the middle of a step: so it is leased none.
        session.draining = true;
      }
    }
  }

  /** Killed, and another one started in its place: its streams are broken, its leases stand in its name. */
  async killCoordinator(engine: number): Promise<void> {
    const dead = this.engines[engine]!;
    this.streams.filter((stream) => stream.engine === dead).forEach(({ worker }) => worker.close());
    this.#dead.push(dead.engine.coordinatorId);
    await dead.abandon();
    this.engines[engine] = await startEngine(this.#world.url, { leaseTtlMs: TTL_MS, tickMs: 200 });
  }

  /** The time to live of all dead coordinators is over, and another one finds that. Returns who they were. */
  async reap(engine: number): Promise<string[]> {
    const { store, engine: { sessions, coordinatorId } } = this.engines[engine]!;
    const dead = this.#dead.splice(0);
    await this.#world.rows(`update skiplease.coordinator set expires_at = skiplease.now() - interval '1 day' where id = any($1)`, [dead]);
    const mender = new Mender({
      store, queues: new QueueCache(store), metrics: createMetrics(), clock: systemClock, sweeper: new Sweeper(store), ttlMs: TTL_MS,
      returned: () => {}, ended: () => {}, roomIn: () => {},
    });
    const reaper = new Reaper({ coordinatorId, ttlMs: TTL_MS, store, sessions, mender, standing: { mayReap: true } as Standing });
    await reaper.reap({ expiredIds: dead } as Beat);
    return dead;
  }

  /** Until nobody has anything to do: then the model and the database are to look the same. */
  async catchUp(): Promise<void> {
    const deadlineMs = performance.now() + CATCH_UP_MS;
    let pokeMs = performance.now() + POKE_MS;
    for (;;) {
      this.adopt();
      const different = (this.#hasWork() ? ['jobs wait while a worker has room'] : undefined) ?? (await this.#differences());
      if (different.length === 0) return;
      if (performance.now() > deadlineMs) throw new Error(different.join('\n'));
      if (performance.now() > pokeMs) {
        pokeMs += 10 * POKE_MS;
        this.engines.forEach(({ engine }) => engine.scheduled(engine.nowMs()));
        await this.#world.rows(`select pg_notify('skiplease', '{"from":"a test","all":true}')`);
      }
      await turn();
    }
  }

  /** Ends what is left of its sessions, for the next history. */
  end(): void {
    for (const { worker, engine } of this.streams) {
      worker.close();
      if (engine.engine.sessions.get(worker.session.id) === worker.session) engine.engine.sessions.leave(worker.session);
    }
  }

  /** Tells the model of leases that have arrived since. */
  adopt(streams = this.streams): void {
    for (const stream of streams) {
      for (; stream.adopted < stream.worker.leases.length; stream.adopted += 1) {
        const { token, jobs, session } = stream.worker.leases[stream.adopted]!;
        assert.deepEqual(this.model.grant(token, session.id, stream.coordinatorId, stream.window, jobs), []);
      }
    }
  }

  #live(): Session[] {
    return this.streams.filter(({ engine, worker: { session } }) => this.engines.includes(engine) && engine.engine.sessions.get(session.id) === session)
      .map(({ worker }) => worker.session);
  }

  #hasWork(): boolean {
    return this.model.readyCount > 0 && this.#live().some((session) => session.roomJobs(this.#queueId, this.queue, Infinity) > 0);
  }

  async #differences(): Promise<string[]> {
    const [jobs, leases] = await Promise.all([
      this.#world.rows<{ id: string; place: string; attempt: number; lease: string | null; places: number; tries: string[] }>(JOBS, [this.#queueId]),
      this.#world.rows<{ id: string; session_id: string; coordinator_id: string; open: string[] }>(LEASES, [this.#queueId]),
    ]);
    const seenJobs = new Map(jobs.map(({ id, place, attempt, lease, places, tries }) =>
      [id, { place: STATES[place] ?? place, attempt, leaseId: lease, tries, ...(places === 1 ? {} : { places }) }]));
    const seenLeases = new Map<string, LeaseLook>(leases.map((row) => [row.id, { sessionId: row.session_id, coordinatorId: row.coordinator_id, open: row.open }]));
    return [...differences('job', this.model.jobs(), seenJobs), ...differences('lease', this.model.leases(), seenLeases), ...this.#windows(seenLeases)];
  }

  /** Every session counts what it holds, no more and no less; never less where it cannot know. */
  #windows(leases: Map<string, LeaseLook>): string[] {
    return this.#live().flatMap((session) => {
      const held = [...leases.values()].filter(({ sessionId }) => sessionId === session.id).reduce((sum, { open }) => sum + open.length, 0);
      const right = this.#unaware.has(session) ? session.heldJobs >= held : session.heldJobs === held;
      return right ? [] : [`session ${session.id} counts ${session.heldJobs} and holds ${held}`];
    });
  }
}

function differences(what: string, expected: Map<string, unknown>, seen: Map<string, unknown>): string[] {
  return [...new Set([...expected.keys(), ...seen.keys()])].flatMap((id) => {
    const [should, is] = [JSON.stringify(expected.get(id)), JSON.stringify(seen.get(id))];
    return should === is ? [] : [`${what} ${id} is ${is} and should be ${should}`];
  });
}
