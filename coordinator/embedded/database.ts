import pg from 'pg';
import { connectionUrl, DATABASE } from './connection_url.ts';

/** SQLSTATE codes that a first connection may meet. */
const INVALID_PASSWORD = '28P01';
const NO_SUCH_DATABASE = '3D000';
const DATABASE_EXISTS = '42P04';

/** A server that takes connections on loopback answers at once; this is for one whose process is stopped. */
const CONNECT_DEADLINE_MS = 10_000;

/** Makes sure that our database is there; false when the server does not know our password. */
export async function openDatabase(password: string, port: number): Promise<boolean> {
  const found = await connect(password, port, DATABASE);
  if (found === NO_SUCH_DATABASE) {
    const client = await connect(password, port, 'postgres');
    if (typeof client === 'string') throw new Error(`PostgreSQL refuses its own role: SQLSTATE ${client}`);
    await client.query(`CREATE DATABASE ${DATABASE}`).catch((error: { code?: string }) => {
      if (error.code !== DATABASE_EXISTS) throw error;
    });
    await client.end();
    return true;
  }
  if (typeof found === 'string') return false;
  await found.end();
  return true;
}

/** A connected client, or the SQLSTATE of the two refusals that are expected. */
async function connect(password: string, port: number, database: string): Promise<pg.Client | string> {
  const client = new pg.Client({
    connectionString: connectionUrl(password, port, database),
    connectionTimeoutMillis: CONNECT_DEADLINE_MS,
  });
  client.on('error', () => undefined);
  try {
    await client.connect();
    return client;
  } catch (error) {
    const code = (error as { code?: string }).code;
    if (code === NO_SUCH_DATABASE || code === INVALID_PASSWORD) return code;
    throw error;
  }
}
