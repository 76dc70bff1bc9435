import { chown, copyFile, mkdir, readdir, rm, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type pg from 'pg';
import type { EmbeddedPostgres } from '../../coordinator/embedded/index.ts';
import { run, RunError } from '../../coordinator/embedded/run.ts';
import { makeServerFolder, startPrivateServer, type PrivateServerOptions } from './private_server.ts';
import { withAdmin } from './run_server.ts';
import { waitFor } from './wait.ts';

/** The name under which a standby streams, and its slot, which keeps the log that it has not received yet. */
const NAME = 'standby';
const COPY_DEADLINE_MS = 60_000;
const STREAMING_DEADLINE_MS = 30_000;

export interface StandbyOptions extends Pick<PrivateServerOptions, 'durable' | 'settings'> {
  /** `host:port` of a network to the primary that can be broken. Default: the primary's own. */
  through?: string;
}

/** A second server that follows the first. */
export interface Standby {
  /** It takes no writes until it is promoted. */
  server: EmbeddedPostgres;
  /** From now on the primary answers a commit only when it is here, on disk. Resolves once that is so. */
  makeSynchronous(): Promise<void>;
  /** It becomes a primary of its own, in a history of its own. Resolves when it takes writes. */
  promote(): Promise<void>;
}

/**
 * Starts a standby of a server that runs: from a copy of its files between pg_backup_start and pg_backup_stop (the package
 * that brings PostgreSQL has no pg_basebackup), and what it streams from then on.
 */
export async function startStandby(primary: EmbeddedPostgres, { durable = false, settings = {}, through }: StandbyOptions = {}): Promise<Standby> {
  const dataFolder = await makeServerFolder();
  const postgresFolder = join(dataFolder, 'postgres');
  await mkdir(dataFolder, { recursive: true });
  await withAdmin(primary.url, (client) => copyCluster(client, primary.postgresFolder, postgresFolder));
  await copyFile(primary.urlFile, join(dataFolder, 'database_url'));
  const { username, password, hostname, port } = new URL(primary.url);
  const [host, portThere] = through === undefined ? [hostname, port] : through.split(':');
  const server = await startPrivateServer({
    dataFolder,
    durable,
    settings: {
      ...settings,
      primary_conninfo: `host=${host} port=${portThere} user=${username} password=${password} application_name=${NAME}`,
      primary_slot_name: NAME,
    },
  });
  return {
    server,
    makeSynchronous: () => withAdmin(primary.url, async (client) => {
      await client.query(`alter system set synchronous_standby_names = '${NAME}'`);
      await client.query('select pg_reload_conf()');
      await waitFor(
        async () => (await client.query(`select from pg_stat_replication where application_name = $1 and sync_state = 'sync'`, [NAME])).rowCount === 1,
        { deadlineMs: STREAMING_DEADLINE_MS, what: 'the standby to be synchronous' },
      );
    }),
    promote: () => withAdmin(server.url, async (client) => void (await client.query('select pg_promote()'))),
  };
}

async function copyCluster(client: pg.Client, from: string, to: string): Promise<void> {
  // A slot that an earlier standby has left keeps the log for nobody.
  await client.query('select pg_drop_replication_slot(slot_name) from pg_replication_slots where slot_name = $1 and not active', [NAME]);
  await client.query('select pg_create_physical_replication_slot($1, true)', [NAME]);
  await client.query('select pg_backup_start($1, true)', [NAME]);
  await copyFiles(from, to);
  const { rows } = await client.query<{ labelfile: string }>('select labelfile from pg_backup_stop(false)');
  const { uid, gid } = await stat(from);
  const files = { 'backup_label': rows[0]!.labelfile, 'standby.signal': '' };
  for (const [name, text] of Object.entries(files)) {
    await writeFile(join(to, name), text, { mode: 0o600 });
    await chown(join(to, name), uid, gid);
  }
  // What is the running server's own; the log comes by streaming, from the backup's beginning on.
  for (const name of ['postmaster.pid', 'postmaster.opts', 'pg_replslot', 'pg_wal']) await removeFiles(join(to, name));
}

/** With owners and modes. Files may come and go meanwhile: the log has what became of them. */
async function copyFiles(from: string, to: string): Promise<void> {
  try {
    await run('cp', ['-a', from, to], { deadlineMs: COPY_DEADLINE_MS, env: { ...process.env, LC_ALL: 'C' } });
  } catch (error) {
    const problems = error instanceof RunError ? error.stderr.split('\n') : ['?'];
    if (!problems.every((problem) => problem.includes('No such file or directory'))) throw error;
  }
}

/** A file, or all that is in a folder. */
async function removeFiles(path: string): Promise<void> {
  const found = await stat(path).catch(() => undefined);
  if (!found?.isDirectory()) return rm(path, { force: true });
  for (const name of await readdir(path)) await rm(join(path, name), { recursive: true, force: true });
}
