import pg from 'pg';
import { SkipleaseError } from '../errors.ts';
import { STATEMENT_TIMEOUT_MS } from '../limits.ts';

/** Waiting for a lock longer than this fails the flush, which is then split by caller. */
export const LOCK_TIMEOUT_MS = 1_000;
/** A half-open connection keeps its locks: the client gives up on it, a little after the server would have. */
const QUERY_TIMEOUT_MS = STATEMENT_TIMEOUT_MS + 2_000;
const CONNECT_TIMEOUT_MS = 3_000;

const POSTGRES_VERSION_MIN = 150_000;

/**
 * Leave the planner no choice: with empty or stale statistics it would scan ready and job from end to end inside the
 * claim (2k jobs/s instead of 56k). Everything hot goes by primary key or by the claim-order index.
 */
const PINNED_PLANS = ['enable_seqscan', 'enable_hashjoin', 'enable_mergejoin', 'enable_bitmapscan', 'enable_material', 'enable_memoize', 'jit'];

/** Opens a connection directly to PostgreSQL, 15 or newer, and checks that it is what we can work with. */
export async function connect(databaseUrl: string, purpose: string, timeouts: 'short' | 'none' = 'short'): Promise<pg.Client> {
  const client = new pg.Client({
    connectionString: databaseUrl,
    application_name: `skiplease ${purpose}`,
    keepAlive: true,
    keepAliveInitialDelayMillis: 10_000,
    connectionTimeoutMillis: CONNECT_TIMEOUT_MS,
    ...(timeouts === 'short' ? { query_timeout: QUERY_TIMEOUT_MS } : {}),
  });
  // Without a listener a connection that breaks while idle would end the process; its next use reports it.
  client.on('error', () => {});
  await client.connect();
  try {
    await refuseUnsuitable(client);
    const settings = ['synchronous_commit = on', 'client_min_messages = warning', "search_path = ''", "timezone = 'UTC'"];
    if (timeouts === 'short') {
      settings.push(
        `statement_timeout = ${STATEMENT_TIMEOUT_MS}`,
        `lock_timeout = ${LOCK_TIMEOUT_MS}`,
        `idle_in_transaction_session_timeout = ${STATEMENT_TIMEOUT_MS}`,
      );
    }
    await client.query(settings.map((setting) => `set ${setting}`).join(';'));
    return client;
  } catch (error) {
    await client.end().catch(() => {});
    throw error;
  }
}

/** A connection for the hot statements: prepared, with pinned plans. */
export async function connectHot(databaseUrl: string, purpose: string): Promise<pg.Client> {
  const client = await connect(databaseUrl, purpose);
  try {
    await client.query([...PINNED_PLANS.map((name) => `set ${name} = off`), 'set plan_cache_mode = force_generic_plan'].join(';'));
    return client;
  } catch (error) {
    await client.end().catch(() => {});
    throw error;
  }
}

async function refuseUnsuitable(client: pg.Client): Promise<void> {
  const { rows } = await client.query<{ version: number; version_text: string; backend: number }>(
    `select current_setting('server_version_num')::int as version, current_setting('server_version') as version_text,
            pg_backend_pid() as backend`,
  );
  const server = rows[0]!;
  // A pooler answers the handshake itself, with a backend key of its own making.
  const announced = (client as unknown as { processID: number | null }).processID;
  if (announced !== server.backend) {
    throw new SkipleaseError(
      'FAILED_PRECONDITION',
      'POOLER_IN_BETWEEN',
      'A connection pooler stands between Skiplease and PostgreSQL. SET, LISTEN and prepared statements need a connection ' +
        'of their own: point DATABASE_URL directly at PostgreSQL (a coordinator opens about ten connections).',
    );
  }
  if (server.version < POSTGRES_VERSION_MIN) {
    throw new SkipleaseError(
      'FAILED_PRECONDITION',
      'POSTGRES_TOO_OLD',
      `PostgreSQL ${server.version_text} is too old: Skiplease needs 15 or newer. Upgrade it, or set DATABASE_URL to a newer server.`,
    );
  }
}
