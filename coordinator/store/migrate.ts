import { readdir, readFile } from 'node:fs/promises';
import type pg from 'pg';
import { SkipleaseError } from '../errors.ts';
import { RETENTION } from '../limits.ts';
import { connect } from './connection.ts';
import { ensurePartitions } from './partitions.ts';

const FOLDER = new URL('./migrations/', import.meta.url);
/** Any constant of ours: coordinators that start together migrate one after the other. */
const ADVISORY_LOCK = 7_420_001;

interface Migration {
  version: number;
  name: string;
}

/** Brings the schema `skiplease` to this binary's version, once, however many coordinators start together. */
export async function migrate(databaseUrl: string, retentionDays = RETENTION.days): Promise<void> {
  const client = await connect(databaseUrl, 'migrate', 'none');
  try {
    await client.query('select pg_advisory_lock($1)', [ADVISORY_LOCK]);
    await applyMissing(client);
    await ensurePartitions(client, retentionDays);
  } finally {
    await client.end();
  }
}

async function applyMissing(client: pg.Client): Promise<void> {
  const known = await listMigrations();
  await client.query(`create schema if not exists skiplease;
    create table if not exists skiplease.migration (
      version integer primary key, name text not null, applied_at timestamptz not null default clock_timestamp())`);
  const { rows } = await client.query<Migration>('select version, name from skiplease.migration order by version');
  const newest = rows.at(-1)?.version ?? 0;
  const supported = known.at(-1)?.version ?? 0;
  if (newest > supported) {
    throw new SkipleaseError(
      'FAILED_PRECONDITION',
      'SCHEMA_TOO_NEW',
      `The database has schema version ${newest} (${rows.at(-1)!.name}); this coordinator knows up to ${supported}. ` +
        'A newer coordinator has migrated it: start that version, or restore the database from before.',
    );
  }
  for (const migration of known.filter(({ version }) => version > newest)) {
    await apply(client, migration);
  }
  // Functions come into the world for everybody to call. Only what 0012_sql_interface.sql grants is meant for others.
  await client.query('revoke execute on all functions in schema skiplease from public');
}

async function apply(client: pg.Client, { version, name }: Migration): Promise<void> {
  const text = await readFile(new URL(name, FOLDER), 'utf8');
  await client.query('begin');
  try {
    await client.query(text);
    await client.query('insert into skiplease.migration (version, name) values ($1, $2)', [version, name]);
    await client.query('commit');
  } catch (error) {
    await client.query('rollback').catch(() => {});
    throw new SkipleaseError('INTERNAL', 'MIGRATION_FAILED', `Migration ${name} failed: ${(error as Error).message}`, { cause: error });
  }
}

async function listMigrations(): Promise<Migration[]> {
  const names = (await readdir(FOLDER)).filter((name) => /^\d{4}_\w+\.sql$/.test(name)).sort();
  return names.map((name) => ({ version: Number(name.slice(0, 4)), name }));
}
