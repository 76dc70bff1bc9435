import { readdir, readFile } from 'node:fs/promises';
import { setTimeout as delay } from 'node:timers/promises';
import type pg from 'pg';
import { SkipleaseError } from '../errors.ts';
import { RETENTION } from '../limits.ts';
import { connect } from './connection.ts';
import { grantRoles } from './grant_roles.ts';
import { enterHistory, refuseReadOnly, type Timeline } from './history.ts';
import { ensurePartitions } from './partitions.ts';
import { isLocked, sqlState } from './sql_errors.ts';

const FOLDER = new URL('./migrations/', import.meta.url);
const INSUFFICIENT_PRIVILEGE = '42501';
/** Any constant of ours: coordinators that start together migrate one after the other. */
const ADVISORY_LOCK = 7_420_001;
/**
 * A migration gives way: whoever waits for a whole table makes all others wait behind it, coordinators at work too. So it waits
 * for so long at most, lets them through, and tries again: for a minute or two.
 */
const LOCK_TIMEOUT_MS = 500;
const LOCK_TRIES_MAX = 60;
const LOCK_RETRY_MS = 1_000;

/** `0013_what_it_does.sql`, or `0013_what_it_does.breaking.sql` where coordinators from before cannot work with what it leaves. */
interface Migration {
  version: number;
  name: string;
}

/**
 * Brings the schema `skiplease` to this binary's version, once, however many coordinators start together. One that is newer is
 * left as it is: coordinators of two versions run side by side, unless a migration between them is breaking (README.md, Upgrades).
 * Where there is nothing to do, a role that may change no schema is enough; FAILED_PRECONDITION where it is not.
 * Returns the history that the database goes on with.
 */
export async function migrate(databaseUrl: string, retentionDays = RETENTION.days): Promise<Timeline> {
  const client = await connect(databaseUrl, 'migrate', 'none');
  try {
    await refuseReadOnly(client);
    await client.query('select pg_advisory_lock($1)', [ADVISORY_LOCK]);
    await grantRoles(client, await applyMissing(client).catch(needsOwner));
    await ensurePartitions(client, retentionDays);
    return await enterHistory(client);
  } finally {
    await client.end();
  }
}

/** Returns whether there was anything to do. */
async function applyMissing(client: pg.Client): Promise<boolean> {
  const known = await listMigrations();
  const rows = await appliedMigrations(client);
  const newest = rows.at(-1)?.version ?? 0;
  const supported = known.at(-1)?.version ?? 0;
  const breaking = rows.findLast(({ version, name }) => version > supported && isBreaking(name));
  if (breaking !== undefined) {
    throw new SkipleaseError(
      'FAILED_PRECONDITION',
      'SCHEMA_TOO_NEW',
      `The database has schema version ${newest}, and with ${breaking.name} coordinators that know only up to ${supported}, as this one does, ` +
        'cannot work. A newer coordinator has migrated it: start that version, or restore the database from before.',
    );
  }
  const applied = new Set(rows.map(({ version }) => version));
  const missing = known.filter(({ version }) => !applied.has(version));
  if (missing.length === 0) {
    return false;
  }
  await client.query(`create schema if not exists skiplease;
    create table if not exists skiplease.migration (
      version integer primary key, name text not null, applied_at timestamptz not null default clock_timestamp())`);
  for (const migration of missing) {
    await apply(client, migration);
  }
  // Functions come into the world for everybody to call. Only what 0012_sql_interface.sql grants is meant for others.
  await client.query('revoke execute on all functions in schema skiplease from public');
  return true;
}

async function appliedMigrations(client: pg.Client): Promise<Migration[]> {
  const { rows } = await client.query<{ there: boolean }>("select to_regclass('skiplease.migration') is not null as there");
  return rows[0]!.there ? (await client.query<Migration>('select version, name from skiplease.migration order by version')).rows : [];
}

/** It says what to do where the role may not. */
function needsOwner(error: unknown): never {
  const cause = error instanceof SkipleaseError ? error.cause : error;
  if (sqlState(cause) !== INSUFFICIENT_PRIVILEGE) {
    throw error;
  }
  throw new SkipleaseError('FAILED_PRECONDITION', 'MIGRATION_NEEDS_OWNER',
    `The database's schema is not of this coordinator's version, and its role may not change it (${(cause as Error).message}). `
      + 'Run `npm run migrate` with the DATABASE_URL of the schema\'s owner, or of somebody who may create it.', { cause: error });
}

async function apply(client: pg.Client, migration: Migration): Promise<void> {
  const text = await readFile(new URL(migration.name, FOLDER), 'utf8');
  for (let tries = 1; ; tries += 1) {
    try {
      await tryToApply(client, migration, text);
      return;
    } catch (error) {
      await client.query('rollback').catch(() => {});
      if (error instanceof SkipleaseError) {
        throw error;
      }
      if (!isLocked(error) || tries === LOCK_TRIES_MAX) {
        const advice = isLocked(error) ? ' Some transaction keeps its tables locked: end that, then start again.' : '';
        throw new SkipleaseError('INTERNAL', 'MIGRATION_FAILED', `Migration ${migration.name} failed: ${(error as Error).message}.${advice}`, { cause: error });
      }
      await delay(LOCK_RETRY_MS);
    }
  }
}

async function tryToApply(client: pg.Client, { version, name }: Migration, text: string): Promise<void> {
  await client.query('begin');
  if (isBreaking(name)) {
    await refuseWhileOthersWork(client, name);
  }
  await client.query(`set local lock_timeout = ${LOCK_TIMEOUT_MS}`);
  await client.query(text);
  await client.query('insert into skiplease.migration (version, name) values ($1, $2)', [version, name]);
  await client.query('commit');
}

/** Whoever works with the schema as it was must have stopped: with what this migration leaves they could not. */
async function refuseWhileOthersWork(client: pg.Client, name: string): Promise<void> {
  const { rows } = await client.query<{ address: string }>('select address from skiplease.coordinator where expires_at > skiplease.now() order by address');
  if (rows.length > 0) {
    throw new SkipleaseError(
      'FAILED_PRECONDITION',
      'COORDINATORS_AT_WORK',
      `Migration ${name} breaks coordinators of the version before, and ${rows.length} still work (${rows.map(({ address }) => address).join(', ')}). ` +
        'Stop all of them, then start this one.',
    );
  }
}

function isBreaking(name: string): boolean {
  return name.endsWith('.breaking.sql');
}

async function listMigrations(): Promise<Migration[]> {
  const names = (await readdir(FOLDER)).filter((name) => /^\d{4}_\w+(\.breaking)?\.sql$/.test(name)).sort();
  return names.map((name) => ({ version: Number(name.slice(0, 4)), name }));
}
