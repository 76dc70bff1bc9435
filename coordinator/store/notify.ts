import type pg from 'pg';
import { connect } from './connection.ts';

const CHANNEL = 'skiplease';

/** PostgreSQL's own line to the other coordinators (a `Line` of wakeups/line.ts). */
export class NotifyConnection {
  readonly reachesOthers = true;
  readonly #databaseUrl: string;
  readonly #received: (payload: string) => void;
  /** Called each time that listening (re)starts: whatever was said meanwhile is lost. */
  readonly #listening: () => void;
  #client: Promise<pg.Client> | undefined;
  /** What #client resolved to. */
  #open: pg.Client | undefined;

  constructor(databaseUrl: string, received: (payload: string) => void, listening: () => void) {
    this.#databaseUrl = databaseUrl;
    this.#received = received;
    this.#listening = listening;
  }

  /** Listens, if it does not yet. */
  async listen(): Promise<void> {
    this.#client ??= this.#connect();
    await this.#client;
  }

  /** Never inside somebody's transaction: a NOTIFY there would serialise commits. At most 8,000 bytes. */
  async send(payload: string): Promise<void> {
    await this.listen();
    await (await this.#client!).query('select pg_notify($1, $2)', [CHANNEL, payload]);
  }

  async close(): Promise<void> {
    const client = this.#client;
    this.#client = undefined;
    await (await client?.catch(() => undefined))?.end().catch(() => {});
  }

  async #connect(): Promise<pg.Client> {
    try {
      const client = await connect(this.#databaseUrl, 'notify');
      const lost = () => {
        if (this.#open === client) {
          this.#open = undefined;
          this.#client = undefined;
        }
      };
      client.on('end', lost);
      client.on('error', lost);
      client.on('notification', ({ payload }) => this.#received(payload ?? ''));
      await client.query(`listen ${CHANNEL}`).catch((error: unknown) => {
        void client.end().catch(() => {});
        throw error;
      });
      this.#open = client;
      this.#listening();
      return client;
    } catch (error) {
      this.#client = undefined;
      throw error;
    }
  }
}
