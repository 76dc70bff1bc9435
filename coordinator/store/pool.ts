import { BackendTerminatedError, createDriverFactory, createPool, createSqlTag } from 'slonik';
import type { CommonQueryMethods, DatabasePool, Interceptor } from 'slonik';
import { z } from 'zod';
import { STATEMENT_TIMEOUT_MS } from '../limits.ts';
import { connect } from './connection.ts';
import { GivenUp } from './given_up.ts';
import { sqlState } from './sql_errors.ts';
import type pg from 'pg';

/** Where ordinary statements run: whatever people and dashboards ask, off the hot connections. */
export type Pool = DatabasePool;
/** A pool, or a transaction of it. */
export type Queryable = CommonQueryMethods;

/** What these connections are for: a pause tells them, which may be busy for long, from those that lease jobs. */
export const POOL_PURPOSE = 'ordinary';
/** A coordinator opens fewer than ten connections, these included. */
const CONNECTIONS_MAX = 4;
/** Connections that nobody needs are given back to PostgreSQL. */
const IDLE_TIMEOUT_MS = 60_000;

/** Whoever looks must not read job, outcome or ready from end to end because statistics are missing. */
const SESSION_SETTINGS = 'set enable_seqscan = off; set enable_bitmapscan = off; set jit = off';

/**
 * The tag that marks SQL: `sql.type(schema)` checks each row against its schema. `sql.prepared(name, schema)` for what is
 * asked often: looking at one job takes PostgreSQL 0.5 ms, and planning it, over all partitions, several times that.
 */
export const sql = createSqlTag();

/** For statements whose rows nobody reads. */
export const nothing = z.object({});

/** Opens connections as they are needed, at most four, each as store/connection.ts opens them all. */
export function openPool(databaseUrl: string): Promise<Pool> {
  return createPool('postgresql://', {
    driverFactory: driverFactory(databaseUrl),
    interceptors: [checkRows],
    maxPoolSize: CONNECTIONS_MAX,
    idleTimeout: IDLE_TIMEOUT_MS,
    // Conflicts are expected and handled where they happen; a blind repeat would hide them, or do something twice.
    queryRetryLimit: 0,
    transactionRetryLimit: 0,
    connectionRetryLimit: 0,
    // The default sends DISCARD ALL each time that a connection comes back. Nothing here changes a session.
    resetConnection: async () => {},
    gracefulTerminationTimeout: STATEMENT_TIMEOUT_MS,
  });
}

/**
 * slonik on connections of ours rather than on those of its own driver, which reads fewer forms of a URL
 * (sslmode=verify-full would be no TLS at all) and would wait for ever on a half-open connection.
 */
function driverFactory(databaseUrl: string) {
  const givenUp = new GivenUp(CONNECTIONS_MAX);
  return createDriverFactory(async () => ({
    createPoolClient: async ({ clientEventEmitter }) => {
      let client: pg.Client | undefined;
      return {
        connect: async () => {
          client = await connect(databaseUrl, POOL_PURPOSE);
          // slonik does not listen any more to a connection that it has given up, which may say so later.
          client.on('error', (error) => clientEventEmitter.listenerCount('error') > 0 && clientEventEmitter.emit('error', error));
          await givenUp.check(client);
          try {
            await client.query(SESSION_SETTINGS);
          } catch (error) {
            await client.end().catch(() => {});
            throw error;
          }
        },
        end: async () => client?.end(),
        query: async (text, values, options) => {
          try {
            const { command, fields, rowCount, rows } = await client!.query<Record<string, unknown>>({ name: options?.name, text, values });
            return {
              command: command as 'SELECT',
              fields: fields.map(({ dataTypeID, name }) => ({ dataTypeId: dataTypeID, name })),
              rowCount,
              rows,
            };
          } catch (error) {
            // Without an answer of the server the connection is of no more use: slonik must not send a ROLLBACK.
            if (sqlState(error) !== undefined) {
              throw error;
            }
            givenUp.add(client!);
            throw new BackendTerminatedError(error as Error);
          }
        },
        stream: () => {
          throw new Error('Ordinary statements have bounded results: none is streamed.');
        },
      };
    },
  }));
}

/** Checks rows, synchronously: slonik leaves that to interceptors, and a promise for each row is slow. */
const checkRows: Interceptor = {
  name: 'check rows',
  transformRow: ({ resultParser }, _query, row) => {
    const checked = resultParser!['~standard'].validate(row) as { value: typeof row; issues?: { path?: unknown[]; message: string }[] };
    if (checked.issues !== undefined) {
      const issues = checked.issues.map(({ path, message }) => `${path?.join('.')}: ${message}`);
      throw new Error(`A row is not as its statement declares: ${issues.join('; ')}`);
    }
    return checked.value;
  },
};
