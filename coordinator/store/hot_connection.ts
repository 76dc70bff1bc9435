import type pg from 'pg';
import { SkipleaseError } from '../errors.ts';
import { connectHot } from './connection.ts';
import { GivenUp } from './given_up.ts';
import type { History } from './history.ts';
import { isConnectionFailure, READ_ONLY, sqlState } from './sql_errors.ts';

/** A prepared statement: one text, one name, one place. */
export interface Statement {
  name: string;
  text: string;
}

/** A row as PostgreSQL's text form, column by column. */
export type Row = (string | null)[];

/** Told of every statement, for the metrics. */
export type StatementObserver = (statement: string, seconds: number, failed: boolean) => void;

const RAW = { getTypeParser: () => (value: unknown) => value };

/**
 * One connection for one kind of hot statement, opened when first used and again after it broke. Its statements and
 * transactions run one after the other, in the order of the calls.
 */
export class HotConnection {
  readonly #databaseUrl: string;
  readonly #purpose: string;
  readonly #observe: StatementObserver;
  readonly #history: History;
  #client: Promise<pg.Client> | undefined;
  /** What #client resolved to. */
  #open: pg.Client | undefined;
  readonly #givenUp = new GivenUp(1);
  #turn: Promise<void> = Promise.resolve();
  #closed = false;

  constructor(databaseUrl: string, purpose: string, observe: StatementObserver, history: History) {
    this.#databaseUrl = databaseUrl;
    this.#purpose = purpose;
    this.#observe = observe;
    this.#history = history;
  }

  /** Runs one statement as a transaction of its own. */
  run(statement: Statement, values: unknown[]): Promise<Row[]> {
    return this.#inTurn(() => this.#run(statement, values));
  }

  /** Runs `work` between BEGIN and COMMIT; rolls back when it throws. A failed COMMIT is ambiguous and reported as such. */
  transaction<Result>(name: string, work: (run: TransactionRun) => Promise<Result>): Promise<Result> {
    return this.#inTurn(() => this.#transaction(name, work));
  }

  async close(): Promise<void> {
    this.#closed = true;
    const client = this.#client;
    this.#client = undefined;
    await (await client?.catch(() => undefined))?.end().catch(() => {});
  }

  async #inTurn<Result>(work: () => Promise<Result>): Promise<Result> {
    const before = this.#turn;
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#turn = promise;
    await before;
    try {
      return await work();
    } finally {
      resolve();
    }
  }

  async #run(statement: Statement, values: unknown[]): Promise<Row[]> {
    const client = await this.#connected();
    const started = performance.now();
    let failed = true;
    try {
      const result = await query(client, statement, values);
      failed = false;
      return result;
    } catch (error) {
      throw this.#failure(error, client);
    } finally {
      this.#observe(statement.name, (performance.now() - started) / 1000, failed);
    }
  }

  async #transaction<Result>(name: string, work: (run: TransactionRun) => Promise<Result>): Promise<Result> {
    const client = await this.#connected();
    const started = performance.now();
    let failed = true;
    try {
      await client.query('begin');
      let result: Result;
      try {
        result = await work((statement, values = []) => query(client, statement, values));
      } catch (error) {
        await client.query('rollback').catch(() => this.#drop(client));
        throw error;
      }
      await client.query('commit');
      failed = false;
      return result;
    } catch (error) {
      throw this.#failure(error, client);
    } finally {
      this.#observe(name, (performance.now() - started) / 1000, failed);
    }
  }

  #connected(): Promise<pg.Client> {
    if (this.#closed) {
      return Promise.reject(new SkipleaseError('UNAVAILABLE', 'SHUTTING_DOWN', 'The coordinator is shutting down.'));
    }
    this.#client ??= this.#connect();
    return this.#client;
  }

  async #connect(): Promise<pg.Client> {
    try {
      const client = await connectHot(this.#databaseUrl, this.#purpose);
      await this.#givenUp.check(client);
      await this.#history.check(client).catch((error: unknown) => {
        void client.end().catch(() => {});
        throw error;
      });
      client.on('end', () => this.#drop(client));
      client.on('error', () => this.#drop(client));
      this.#open = client;
      return client;
    } catch (error) {
      this.#client = undefined;
      throw error;
    }
  }

  /** The next use opens a new connection. What a broken one says late does not concern the one that took its place. */
  #drop(client: pg.Client): void {
    if (this.#open === client) {
      this.#open = undefined;
      this.#client = undefined;
    }
    void client.end().catch(() => {});
  }

  #failure(error: unknown, client: pg.Client): unknown {
    // A server that has turned read-only may stay so, while the next connection leads to another.
    if (isConnectionFailure(error) || sqlState(error) === READ_ONLY) {
      this.#givenUp.add(client);
      this.#drop(client);
    }
    return error;
  }
}

export type TransactionRun = (statement: Statement | string, values?: unknown[]) => Promise<Row[]>;

async function query(client: pg.Client, statement: Statement | string, values: unknown[]): Promise<Row[]> {
  const config = typeof statement === 'string'
    ? { text: statement, values, rowMode: 'array' as const, types: RAW }
    : { name: statement.name, text: statement.text, values, rowMode: 'array' as const, types: RAW };
  const result = await client.query<Row>(config);
  return result.rows;
}
