import type pg from 'pg';

/** Tables cut by ranges of the job's id, which is time. */
const TABLES = ['job', 'outcome', 'attempt'] as const;
/** One partition covers this much time. */
export const PARTITION_MS = 24 * 3_600_000;
/** Partitions that stand ready beyond the one that is being filled. */
const AHEAD = 2;

/**
 * Makes the partitions for now and the time ahead, where they are missing. The lowest one has no lower end: an id may be
 * up to a day old. CREATE, then ATTACH, because that does not block reads and writes of the parent.
 */
export async function ensurePartitions(client: pg.ClientBase): Promise<void> {
  const { rows } = await client.query<{ now_ms: string }>('select extract(epoch from skiplease.now()) * 1000 as now_ms');
  const today = Math.floor(Number(rows[0]!.now_ms) / PARTITION_MS) * PARTITION_MS;
  for (const table of TABLES) {
    await ensureTablePartitions(client, table, today);
  }
}

async function ensureTablePartitions(client: pg.ClientBase, table: string, today: number): Promise<void> {
  let end = await upperEnd(client, table);
  if (end === undefined) {
    await attach(client, table, `${table}_before_${day(today)}`, 'minvalue', bound(today));
    end = today;
  }
  while (end < today + (AHEAD + 1) * PARTITION_MS) {
    // After a long pause: one wide partition up to today, rather than one for each day nobody was here.
    const next: number = Math.max(end + PARTITION_MS, today);
    await attach(client, table, `${table}_${day(end)}`, bound(end), bound(next));
    end = next;
  }
}

/** Where the newest partition ends, in Unix milliseconds; undefined: there is none. */
async function upperEnd(client: pg.ClientBase, table: string): Promise<number | undefined> {
  const { rows } = await client.query<{ end_ms: string | null }>(
    `select max(extract(epoch from skiplease.uuid_time(
              substring(pg_get_expr(c.relpartbound, c.oid) from 'TO \\(''([0-9a-f-]{36})''\\)')::uuid)) * 1000) as end_ms
       from pg_catalog.pg_inherits i join pg_catalog.pg_class c on c.oid = i.inhrelid
      where i.inhparent = $1::regclass`,
    [`skiplease.${table}`],
  );
  return rows[0]!.end_ms === null ? undefined : Math.round(Number(rows[0]!.end_ms));
}

async function attach(client: pg.ClientBase, table: string, name: string, from: string, to: string): Promise<void> {
  await client.query('begin');
  try {
    await client.query("set local lock_timeout = '2s'");
    // Another coordinator may be at it: one at a time, and the loser finds it made.
    await client.query('select pg_advisory_xact_lock(7420002)');
    const exists = await client.query('select to_regclass($1) is not null as yes', [`skiplease.${name}`]);
    if (!(exists.rows[0] as { yes: boolean }).yes) {
      await client.query(`create table skiplease.${name} (like skiplease.${table} including all)`);
      await client.query(`alter table skiplease.${table} attach partition skiplease.${name} for values from (${from}) to (${to})`);
    }
    await client.query('commit');
  } catch (error) {
    await client.query('rollback').catch(() => {});
    throw error;
  }
}

function bound(ms: number): string {
  const hex = ms.toString(16).padStart(12, '0');
  return `'${hex.slice(0, 8)}-${hex.slice(8)}-0000-0000-000000000000'`;
}

function day(ms: number): string {
  return new Date(ms).toISOString().slice(0, 10).replaceAll('-', '');
}
