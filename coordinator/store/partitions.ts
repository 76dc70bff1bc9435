import type pg from 'pg';
import { RETENTION } from '../limits.ts';

/** Tables cut by ranges of the job's id, which is time. */
export const PARTITIONED_TABLES = ['job', 'outcome', 'attempt'] as const;
export type PartitionedTable = (typeof PARTITIONED_TABLES)[number];

/** Each table has no more, however long jobs are kept: whoever looks a job up locks all of them. */
export const PARTITIONS_MAX = 16;
/** Partitions that stand ready beyond the one that is being filled. */
const AHEAD = 2;
/** The lowest, the one that is being filled, and the one that is about to go. */
const BESIDE = 3;
const DAY_MS = 24 * 3_600_000;

/** One partition covers this much time: whole days, so few that what is kept, and what stands ready, fits into PARTITIONS_MAX. */
export function partitionMs(retentionDays: number): number {
  return Math.ceil(retentionDays / (PARTITIONS_MAX - AHEAD - BESIDE)) * DAY_MS;
}

export interface Partition {
  table: PartitionedTable;
  name: string;
  /** Unix milliseconds; null: the lowest one, which has no lower end. */
  fromMs: number | null;
  toMs: number;
}

/** All of them, in order of time. */
export async function listPartitions(client: pg.ClientBase): Promise<Partition[]> {
  const { rows } = await client.query<{ table: PartitionedTable; name: string; from_ms: number | null; to_ms: number }>(
    `select p.relname as "table", b.name, round(extract(epoch from skiplease.uuid_time(
              substring(b.bound from 'FROM \\(''([0-9a-f-]{36})''\\)')::uuid)) * 1000)::float8 as from_ms,
            round(extract(epoch from skiplease.uuid_time(substring(b.bound from 'TO \\(''([0-9a-f-]{36})''\\)')::uuid)) * 1000)::float8 as to_ms
       from pg_catalog.pg_inherits i
       join pg_catalog.pg_class p on p.oid = i.inhparent
      cross join lateral (select c.relname as name, pg_get_expr(c.relpartbound, c.oid) as bound from pg_catalog.pg_class c where c.oid = i.inhrelid) b
      where i.inhparent = any(array['skiplease.job', 'skiplease.outcome', 'skiplease.attempt']::regclass[])
        -- One that is dropped at this very moment has none.
        and b.bound is not null
      order by to_ms`,
  );
  return rows.map(({ table, name, from_ms: fromMs, to_ms: toMs }) => ({ table, name, fromMs, toMs }));
}

/** The database's clock, in Unix milliseconds. */
export async function databaseNowMs(client: pg.ClientBase): Promise<number> {
  const { rows } = await client.query<{ now_ms: string }>('select extract(epoch from skiplease.now()) * 1000 as now_ms');
  return Number(rows[0]!.now_ms);
}

/**
 * Makes the partitions for now and the time ahead, where they are missing. The lowest one has no lower end: an id may be
 * up to a day old.
 */
export async function ensurePartitions(client: pg.ClientBase, retentionDays = RETENTION.days): Promise<void> {
  const nowMs = await databaseNowMs(client);
  const widthMs = partitionMs(retentionDays);
  const today = Math.floor(nowMs / DAY_MS) * DAY_MS;
  for (const table of PARTITIONED_TABLES) {
    for (let made = 0; made < PARTITIONS_MAX; made += 1) {
      // Read anew each time: another coordinator may be at it.
      const end = (await listPartitions(client)).findLast((partition) => partition.table === table)?.toMs;
      if (end === undefined) {
        await add(client, table, null, idFloor(today));
      } else if (end <= nowMs + AHEAD * widthMs) {
        // After a long pause: one wide partition up to today, rather than one for each day nobody was here.
        await add(client, table, idFloor(end), idFloor(Math.max(end + widthMs, today)));
      } else {
        break;
      }
    }
  }
}

async function add(client: pg.ClientBase, table: string, fromId: string | null, toId: string): Promise<void> {
  await client.query('begin');
  try {
    await client.query("set local lock_timeout = '2s'");
    await client.query('select skiplease.add_partition($1, $2, $3)', [table, fromId, toId]);
    await client.query('commit');
  } catch (error) {
    await client.query('rollback').catch(() => {});
    throw error;
  }
}

/** The smallest id of a moment. */
export function idFloor(ms: number): string {
  const hex = ms.toString(16).padStart(12, '0');
  return `${hex.slice(0, 8)}-${hex.slice(8)}-0000-0000-000000000000`;
}

/** The day that a partition begins, or for the lowest one ends, as its name has it. */
export function dayName(ms: number): string {
  return new Date(ms).toISOString().slice(0, 10).replaceAll('-', '');
}

/** The reverse of dayName. */
export function dayMs(name: string): number {
  return Date.UTC(Number(name.slice(0, 4)), Number(name.slice(4, 6)) - 1, Number(name.slice(6)));
}
