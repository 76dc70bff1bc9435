import type pg from 'pg';

/** Settings that decide what a commit promises, and what a reader needs to judge the figures. */
const PRINTED_SETTINGS = [
  'server_version',
  'fsync',
  'synchronous_commit',
  'full_page_writes',
  'wal_sync_method',
  'wal_level',
  'wal_compression',
  'shared_buffers',
  'max_wal_size',
  'checkpoint_timeout',
  'autovacuum',
  'jit',
] as const;

/** With any of these off, a commit is a promise that a power cut breaks. */
const DURABILITY_SETTINGS = ['fsync', 'synchronous_commit', 'full_page_writes'] as const;

export type ServerSettings = Record<(typeof PRINTED_SETTINGS)[number], string>;

/** Reads the server's settings. Throws when durability is off: such figures would compare nothing that is of use. */
export async function readDurableSettings(client: pg.Client): Promise<ServerSettings> {
  const { rows } = await client.query<{ name: keyof ServerSettings; setting: string }>(
    `SELECT name, current_setting(name) AS setting FROM pg_settings WHERE name = ANY($1)`,
    [PRINTED_SETTINGS],
  );
  const settings = Object.fromEntries(rows.map((row) => [row.name, row.setting])) as ServerSettings;
  const off = DURABILITY_SETTINGS.filter((name) => settings[name] !== 'on');
  if (off.length > 0) {
    const named = off.map((name) => `${name}=${settings[name]}`).join(', ');
    throw new Error(`durability is not at PostgreSQL's default (${named}): the benchmark refuses to run`);
  }
  return settings;
}
