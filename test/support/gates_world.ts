import { awaitEarlierClaims } from '../../coordinator/store/await_claims.ts';
import { cancelJobs } from '../../coordinator/store/cancel_jobs.ts';
import { openPool, type Pool } from '../../coordinator/store/pool.ts';
import { changeQueue, type QueueChange } from '../../coordinator/store/queues.ts';
import type { Rate } from '../../coordinator/types.ts';
import { startEngine, type TestEngine } from './store_engine.ts';
import { StoreWorld } from './store_world.ts';

/** Every start and every end of a hold, as the lease table saw them, by PostgreSQL's clock. */
const AUDIT = `
  create table public.audit (job_id uuid not null, at timestamptz not null, change smallint not null);
  create function public.audit() returns trigger language plpgsql as $$
  begin
    if tg_op = 'INSERT' then
      insert into public.audit select id, new.granted_at, 1 from unnest(new.job_ids) as id;
    else
      insert into public.audit
      select u.id, clock_timestamp(), -1 from unnest(new.job_ids) with ordinality as u (id, place)
       where get_bit(new.settled, u.place::int - 1) = 1 and get_bit(old.settled, u.place::int - 1) = 0;
    end if;
    return null;
  end $$;
  create trigger audit after insert or update of settled on skiplease.lease for each row execute function public.audit()`;

/** A job with its keys, and when it ran: milliseconds. `end` is Infinity while it runs. */
export interface Ran {
  id: string;
  priority: number;
  serialKey: string | null;
  limitKey: string | null;
  holds: { start: number; end: number }[];
}

/** Two coordinators on one database that writes down who runs when. */
export class GatesWorld {
  readonly store: StoreWorld;
  readonly pool: Pool;
  readonly engines: TestEngine[];

  private constructor(store: StoreWorld, pool: Pool, engines: TestEngine[]) {
    this.store = store;
    this.pool = pool;
    this.engines = engines;
  }

  static async open(options: { leaseTtlMs?: number; tickMs?: number } = {}): Promise<GatesWorld> {
    const store = await StoreWorld.open();
    await store.rows(AUDIT);
    const engines = await Promise.all([1, 2].map(() => startEngine(store.url, { leaseTtlMs: 60_000, tickMs: 200, ...options })));
    return new GatesWorld(store, await openPool(store.url), engines);
  }

  async close(): Promise<void> {
    await Promise.all([...this.engines.map((engine) => engine.stop()), this.pool.end()]);
    await this.store.close();
  }

  /** As UpdateQueue does. Returns the queue's number. */
  async set(queue: string, change: QueueChange, { engine } = this.engines[0]!): Promise<number> {
    await engine.queue(queue);
    const { id } = (await changeQueue(this.pool, queue, change))!;
    engine.queuesChanged([id]);
    await awaitEarlierClaims(this.pool);
    await engine.reviewLimits(id);
    return id;
  }

  /** As CancelJobs does. */
  async cancel(ids: string[]): Promise<void> {
    const { engine } = this.engines[0]!;
    await cancelJobs(this.pool, ids, 'no more', (commit) => engine.jobsCancelled(commit, 'no more'));
  }

  /** Every job of the queue, in the order of their submission. */
  async ran(queueId: number): Promise<Ran[]> {
    const rows = await this.store.rows<{ id: string; priority: number; serial_key: string | null; limit_key: string | null; at: number | null; change: number }>(
      `select j.id, j.priority, j.options ->> 'serialKey' as serial_key, j.options ->> 'limitKey' as limit_key, extract(epoch from a.at)::float8 * 1000 as at, a.change
         from skiplease.job j left join public.audit a on a.job_id = j.id where j.queue_id = $1 order by j.id, a.at, a.change`, [queueId]);
    const jobs = new Map<string, Ran>();
    for (const { id, priority, serial_key: serialKey, limit_key: limitKey, at, change } of rows) {
      const job = jobs.get(id) ?? { id, priority, serialKey, limitKey, holds: [] };
      jobs.set(id, job);
      if (change === 1) job.holds.push({ start: at!, end: Infinity });
      if (change === -1) job.holds.at(-1)!.end = at!;
    }
    return [...jobs.values()];
  }

  /** Of a queue in which everything has ended: what should have been forgotten and was not. */
  async leftovers(queueId: number): Promise<object[]> {
    return this.store.rows(
      `select 'holder' as what, h.job_id::text as of from skiplease.gate_holder h join skiplease.job j on j.id = h.job_id where j.queue_id = $1
       union all select 'blocked', job_id::text from skiplease.blocked where queue_id = $1
       union all select 'gate', key from skiplease.gate where queue_id = $1 and kind > 1 and due_at is null`, [queueId]);
  }
}

/** The most that ran at one time. */
export function mostAtOnce(jobs: Ran[]): number {
  const changes = jobs.flatMap(({ holds }) => holds.flatMap(({ start, end }) => [{ at: start, by: 1 }, { at: end, by: -1 }]));
  let now = 0;
  let most = 0;
  for (const { by } of changes.sort((a, b) => a.at - b.at || a.by - b.by)) {
    now += by;
    most = Math.max(most, now);
  }
  return most;
}

/** The most by which the starts of any window exceeded what the bucket can have given. */
export function mostOverRate(jobs: Ran[], { starts, periodMs, burst }: Rate): number {
  const at = jobs.flatMap(({ holds }) => holds.map(({ start }) => start)).sort((a, b) => a - b);
  let most = -Infinity;
  for (let first = 0; first < at.length; first += 1) {
    for (let last = first; last < at.length; last += 1) {
      most = Math.max(most, last - first + 1 - burst - ((at[last]! - at[first]!) * starts) / periodMs);
    }
  }
  return most;
}

/** Neighbours of a serial key's line of which the later started before the earlier had ended for good. */
export function outOfOrder(jobs: Ran[]): [Ran, Ran][] {
  const ran = jobs.filter(({ holds }) => holds.length > 0);
  return ran.slice(1).map((job, index): [Ran, Ran] => [ran[index]!, job])
    .filter(([before, after]) => after.priority === before.priority && after.holds[0]!.start < before.holds.at(-1)!.end);
}
