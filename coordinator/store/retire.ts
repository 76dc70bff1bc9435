import type pg from 'pg';
import { STATEMENT_TIMEOUT_MS } from '../limits.ts';
import type { Retention } from '../types.ts';
import { connectHot } from './connection.ts';
import { FORGET } from './forget.ts';
import { databaseNowMs, dayMs, dayName, idFloor, listPartitions, PARTITIONED_TABLES } from './partitions.ts';
import type { Partition, PartitionedTable } from './partitions.ts';
import { isLocked, sqlState } from './sql_errors.ts';

/** Any constant of ours: one coordinator at a time retires partitions. */
const ADVISORY_LOCK = 7_420_003;
/** A coordinator that was frozen in the middle loses its connection, and another begins anew. */
const IDLE_TIMEOUT_MS = 300_000;
/** While prepare() or swap() waits for a lock, others wait behind it: for so long at most. */
const LOCK_WAIT_MS_MAX = 100;
/**
 * Beyond the longest retention's day, so that an id that was accepted a moment before it was a day old, and is written
 * late, is still known when it is repeated.
 */
const LATE_MS = 3_600_000;

/** Partitions that are dropped by one swap, beside the lowest: it has little time. */
const PARTITIONS_AT_ONCE = 3;
const DAY_MS = 24 * 3_600_000;
const UUID_MIN = '00000000-0000-0000-0000-000000000000';
const QUERY_CANCELED = '57014';

/** What one step of the walk found. */
export interface CarriedOver {
  jobs: number;
  /** The walk has come to the end. */
  done: boolean;
}

/**
 * Replaces the lowest partition, and those after it that are old enough, by a new lowest one, which has only those of their
 * jobs that must stay: not final, or ended too recently. Their files are removed, so the space returns to the operating
 * system; the lowest partition is itself cleaned by being replaced.
 *
 * Which jobs must stay is read from `outcome` alone: a job without one is not final, wherever it waits.
 *
 * In three steps, of which the last one alone holds up everybody, for milliseconds:
 * 1. prepare: the new tables are made, and a trigger on each old partition writes to them whatever is written there from
 *    now on. (Rows of these tables are only ever inserted, so that is all that can happen.)
 * 2. carryOver, again and again: walks the old jobs by id and copies those that must stay. Both may insert the same row;
 *    the second insert does nothing.
 * 3. swap: one statement drops the old partitions and attaches the new tables in their place. Until it commits nothing
 *    has changed for anybody; what a crash leaves (triggers that write to tables of which nobody knows) is taken up by
 *    the next retirement, which begins with the same tables, empty.
 *
 * A transaction that has used the tables and stays open makes prepare() or swap() answer false, to be tried again later.
 * Not MVCC-safe, like TRUNCATE: a REPEATABLE READ transaction that began before a job was carried over does not see it after.
 *
 * Tried instead: to copy inside the transaction that drops (the hot path stands still for 1 to 2 s with 200,000 jobs on two
 * busy cores; the swap takes 20 to 60 ms there). Not possible: DETACH CONCURRENTLY (two transactions, between which the jobs
 * that must stay are nowhere; and the first waits for every open one). To DETACH and drop later is no quicker than to drop.
 */
export class Retirement {
  /** Where the lowest partition ends: whatever is younger is there in full. Unix milliseconds. */
  oldestMs: number;
  readonly #client: pg.Client;
  readonly #retention: Retention;
  readonly #partitions: Partition[];
  /** Where the new lowest partition ends. */
  readonly #endMs: number;
  #walkedTo = UUID_MIN;
  /** Statements of FORGET that are done, and how far the next one is. */
  #forgotten = 0;
  #forgottenTo = UUID_MIN;

  private constructor(client: pg.Client, retention: Retention, partitions: Partition[], endMs: number) {
    this.#client = client;
    this.#retention = retention;
    this.#partitions = partitions;
    this.#endMs = endMs;
    this.oldestMs = partitions.find(({ table }) => table === 'job')!.toMs;
  }

  /** undefined: another coordinator is at it. */
  static async begin(databaseUrl: string, retention: Retention): Promise<Retirement | undefined> {
    const client = await connectHot(databaseUrl, 'retention');
    try {
      await client.query(`set idle_session_timeout = ${IDLE_TIMEOUT_MS}; set lock_timeout = ${LOCK_WAIT_MS_MAX}`);
      const { rows } = await client.query<{ mine: boolean }>('select pg_try_advisory_lock($1) as mine', [ADVISORY_LOCK]);
      if (!rows[0]!.mine) {
        await client.end();
        return undefined;
      }
      const partitions = await listPartitions(client);
      const youngestEndMs = (await databaseNowMs(client)) - retention.days * DAY_MS - LATE_MS;
      const endMs = (await unfinishedEndMs(client)) ?? commonEndMs(partitions, youngestEndMs);
      return new Retirement(client, retention, partitions, endMs);
    } catch (error) {
      await client.end().catch(() => {});
      throw error;
    }
  }

  async close(): Promise<void> {
    await this.#client.end().catch(() => {});
  }

  /** The partitions of `job` that are old enough to go now, without the lowest one. */
  get expired(): string[] {
    return this.#old('job').filter(({ fromMs }) => fromMs !== null).map(({ name }) => name);
  }

  /** False: somebody writes to an old partition in a transaction that stays open. */
  async prepare(): Promise<boolean> {
    return (await this.#locked('make_lowest')) && this.#briefly('follow_lowest');
  }

  /** Looks at the next so many jobs. undefined: that took too long, and nothing was done. */
  async carryOver(jobsMax: number): Promise<CarriedOver | undefined> {
    try {
      const [row] = await this.#walk(jobsMax);
      this.#walkedTo = row!.walkedTo ?? this.#walkedTo;
      return { jobs: row!.jobs, done: row!.walkedTo === null };
    } catch (error) {
      if (sqlState(error) === QUERY_CANCELED) {
        return undefined;
      }
      throw error;
    }
  }

  async #walk(jobsMax: number): Promise<{ walkedTo: string | null; jobs: number }[]> {
    const { days, failedDays } = this.#retention;
    const { rows } = await this.#client.query<{ walkedTo: string | null; jobs: number }>(`
      with walked as materialized (
        select id from skiplease.job where id > $1 and id < '${idFloor(this.#endMs)}' order by id limit $2
      ),
      kept as materialized (
        select w.id from (select skiplease.now() as now) c cross join walked w
          left join lateral (select state, finished_at from skiplease.outcome where job_id = w.id offset 0) o on true
         where o.state is null or o.finished_at > c.now - make_interval(days => case o.state when 5 then $3::int else $4::int end)
      ),
      jobs as (
        insert into skiplease.${this.#lowest('job')}
        select j.* from kept k cross join lateral (select * from skiplease.job where id = k.id offset 0) j on conflict do nothing
      ),
      outcomes as (
        insert into skiplease.${this.#lowest('outcome')}
        select o.* from kept k cross join lateral (select * from skiplease.outcome where job_id = k.id offset 0) o on conflict do nothing
      ),
      attempts as (
        insert into skiplease.${this.#lowest('attempt')}
        select a.* from kept k cross join lateral (select * from skiplease.attempt where job_id = k.id offset 0) a on conflict do nothing
      )
      select (select id from walked order by id desc limit 1) as "walkedTo", (select count(*) from kept)::int as jobs`,
      [this.#walkedTo, jobsMax, failedDays, days]);
    return rows;
  }

  /** Bytes on disk: of the old partitions, and of what takes their place. */
  async sizes(): Promise<{ before: number; after: number }> {
    const { rows } = await this.#client.query<{ before: number; after: number }>(
      `select (select sum(pg_total_relation_size(format('skiplease.%I', name)::regclass)) from unnest($1::text[]) as t (name))::float8 as before,
              (select sum(pg_total_relation_size(format('skiplease.%I', name)::regclass)) from unnest($2::text[]) as t (name))::float8 as after`,
      [PARTITIONED_TABLES.flatMap((table) => this.#old(table).map(({ name }) => name)), PARTITIONED_TABLES.map((table) => this.#lowest(table))]);
    return rows[0]!;
  }

  /**
   * False: somebody has used the tables in a transaction that stays open. One statement, so that no lock is held for a way
   * to this process and back.
   */
  async swap(): Promise<boolean> {
    const swapped = await this.#briefly('swap_lowest');
    this.oldestMs = swapped ? this.#endMs : this.oldestMs;
    return swapped;
  }

  /** Deletes some of what else belongs to jobs that are no more; false: nothing is left. */
  async forget(): Promise<boolean> {
    const text = FORGET[this.#forgotten];
    if (text === undefined) {
      return false;
    }
    const { rows } = await this.#client.query<{ id: string }>(text, [this.#forgottenTo, idFloor(this.#endMs)]);
    this.#forgotten += rows.length === 0 ? 1 : 0;
    this.#forgottenTo = rows[0]?.id ?? UUID_MIN;
    return true;
  }

  #old(table: PartitionedTable): Partition[] {
    return this.#partitions.filter((partition) => partition.table === table && partition.toMs <= this.#endMs);
  }

  #lowest(table: PartitionedTable): string {
    return `${table}_before_${dayName(this.#endMs)}`;
  }

  /** All or nothing, as one statement that ends with its commit, and in no more time than others may be made to wait. */
  async #briefly(step: 'follow_lowest' | 'swap_lowest'): Promise<boolean> {
    await this.#client.query(`set statement_timeout = ${LOCK_WAIT_MS_MAX}`);
    try {
      return await this.#locked(step);
    } finally {
      await this.#client.query(`set statement_timeout = ${STATEMENT_TIMEOUT_MS}`);
    }
  }

  /** False: a lock that it needs was not to be had in time. */
  async #locked(step: 'make_lowest' | 'follow_lowest' | 'swap_lowest'): Promise<boolean> {
    try {
      await this.#client.query(`select skiplease.${step}($1)`, [idFloor(this.#endMs)]);
      return true;
    } catch (error) {
      if (isLocked(error) || sqlState(error) === QUERY_CANCELED) {
        return false;
      }
      throw error;
    }
  }
}

/** The youngest moment up to `ms` at which a partition of every table ends, a few partitions on at most; else where the lowest ends. */
function commonEndMs(partitions: Partition[], ms: number): number {
  const ends = (of: PartitionedTable) => partitions.filter(({ table }) => table === of).map(({ toMs }) => toMs);
  const others = PARTITIONED_TABLES.map((table) => new Set(ends(table)));
  const jobs = ends('job');
  return jobs.slice(0, 1 + PARTITIONS_AT_ONCE).findLast((end) => end <= ms && others.every((each) => each.has(end))) ?? jobs[0]!;
}

/** Where the lowest partition is to end that an interrupted retirement has begun to fill. Triggers write to it. */
async function unfinishedEndMs(client: pg.ClientBase): Promise<number | undefined> {
  const { rows } = await client.query<{ name: string }>(
    `select relname as name from pg_catalog.pg_class
      where relnamespace = 'skiplease'::regnamespace and relkind = 'r' and not relispartition and relname ~ '^job_before_[0-9]{8}$'`);
  return rows[0] && dayMs(rows[0].name.slice('job_before_'.length));
}
