/**
 * The least of node-postgres that transactions need, so that a worker without a database needs no such package:
 * a `pg.Pool` is a DatabasePool, and a `pg.PoolClient` a DatabaseClient.
 */
export interface DatabasePool {
  connect(): Promise<DatabaseClient>;
}

/** One connection, between BEGIN and COMMIT. */
export interface DatabaseClient {
  query(text: string, values?: unknown[]): Promise<unknown>;
  /** Back to the pool; with an error, or true, it is closed instead. */
  release(error?: Error | boolean): void;
  /** A connection that breaks while nothing is asked of it says so by this event, which ends a process where nobody listens. */
  on?(event: 'error', listener: (error: Error) => void): unknown;
  off?(event: 'error', listener: (error: Error) => void): unknown;
}
