import { rm } from 'node:fs/promises';
import pg from 'pg';
import type { EmbeddedPostgres } from '../../../coordinator/embedded/index.ts';
import { makeServerFolder, startPrivateServer } from '../../support/private_server.ts';
import { startStandby } from '../../support/standby.ts';

/** How long the lab itself waits for the database to answer one statement. */
const STATEMENT_TIMEOUT_MS = 30_000;

/** Durable, as PostgreSQL is by default; when a row was committed is kept, for the checker. */
const SETTINGS = { track_commit_timestamp: 'on', shared_buffers: '64MB', max_wal_size: '1GB' };

/** The lab's PostgreSQL: a server of its own, in a data folder, with its own durability, to be stopped, killed and started again. */
export class LabDatabase {
  #server: EmbeddedPostgres;

  private constructor(server: EmbeddedPostgres) {
    this.#server = server;
  }

  static async create(): Promise<LabDatabase> {
    return new LabDatabase(await startPrivateServer({ durable: true, dataFolder: await makeServerFolder(), settings: SETTINGS }));
  }

  /** A superuser's, past all links. */
  get url(): string {
    return this.#server.url;
  }

  /** host:port, for a link to aim at. */
  get address(): string {
    return new URL(this.url).host;
  }

  /** The server as it is now: another one after each start. */
  get server(): EmbeddedPostgres {
    return this.#server;
  }

  /** `fast` rolls back what is open and writes a checkpoint; `immediate` is a crash: the next start replays the log. */
  async stop(mode: 'fast' | 'immediate'): Promise<void> {
    if (mode === 'immediate') process.kill(this.#server.pid, 'SIGQUIT');
    await this.#server.stop();
  }

  /** After stop(): the same data on the same port. */
  async start(settings: Readonly<Record<string, string>> = {}): Promise<void> {
    const { dataFolder, port } = this.#server;
    this.#server = await startPrivateServer({ durable: true, dataFolder, port, settings: { ...SETTINGS, ...settings } });
  }

  /** It crashes, and a standby that has received all that was committed takes its place, at another address: links must be aimed anew. */
  async failOver(): Promise<void> {
    const standby = await startStandby(this.#server, { durable: true, settings: SETTINGS });
    await standby.makeSynchronous();
    const { dataFolder } = this.#server;
    await this.stop('immediate');
    await standby.promote();
    this.#server = standby.server;
    await rm(dataFolder, { recursive: true });
  }

  /** One statement, on a connection of its own, past all links. */
  async query<Row extends object>(text: string, values: unknown[] = []): Promise<Row[]> {
    return this.session(async (client) => (await client.query<Row>(text, values)).rows);
  }

  /** A connection for as long as `use` takes. */
  async session<Result>(use: (client: pg.Client) => Promise<Result>): Promise<Result> {
    const client = new pg.Client({ connectionString: this.url, application_name: 'fault lab', query_timeout: STATEMENT_TIMEOUT_MS });
    client.on('error', () => undefined);
    await client.connect();
    try {
      return await use(client);
    } finally {
      await client.end().catch(() => undefined);
    }
  }
}
