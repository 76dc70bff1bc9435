import { v7 as uuidv7 } from 'uuid';
import pg from 'pg';
import type { ClaimSlot } from '../../coordinator/store/claim.ts';
import { Store, type Log } from '../../coordinator/store/store.ts';
import { newSecret } from '../../coordinator/engine/token.ts';
import type { NewJob } from '../../coordinator/types.ts';
import { createTestDatabase, type TestDatabase } from './database.ts';
import { rowsOf } from './store_jobs.ts';
import { waitFor } from './wait.ts';

/** What a coordinator logged, for a test that asks. */
export interface KeptLog extends Log {
  lines: { level: string; fields: Record<string, unknown>; message: string }[];
}

export function keepLog(): KeptLog {
  const lines: KeptLog['lines'] = [];
  const at = (level: string) => (fields: object, message: string) => void lines.push({ level, fields: fields as Record<string, unknown>, message });
  return { lines, info: at('info'), warn: at('warn'), error: at('error'), debug: at('debug') };
}

/** A lease as its holder names it. */
export interface Claimed {
  leaseId: bigint;
  secret: bigint;
  sessionId: string;
  jobIds: string[];
  attempts: number[];
}

/** One coordinator as far as the store goes: an id and its connections. */
export class StoreCoordinator {
  readonly id = uuidv7();
  readonly store: Store;
  /** Statements as they were run, by name. */
  readonly statements: string[] = [];

  constructor(databaseUrl: string) {
    this.store = new Store(databaseUrl, keepLog(), (name) => void this.statements.push(name));
  }

  /** Claims from position zero (or `mark`) of these priorities, for one session, at most so many jobs. */
  async claim(queueId: number, jobs: number, options: { sessionId?: string; priorities?: number[]; mark?: bigint } = {}): Promise<Claimed | undefined> {
    const slot: ClaimSlot = { sessionId: options.sessionId ?? uuidv7(), secret: newSecret(), jobs, bytes: 1 << 30, firstAtAnySize: true };
    const levels = (options.priorities ?? [0]).map((priority) => ({ priority, mark: options.mark ?? 0n }));
    const { slots } = await this.store.claim(this.id, [{ queueId, levels, slots: [slot] }]);
    const got = slots[0]![0];
    return got && {
      leaseId: got.leaseId, secret: slot.secret, sessionId: slot.sessionId,
      jobIds: got.jobs.map(({ id }) => id), attempts: got.jobs.map(({ attempt }) => attempt),
    };
  }
}

/** A database of the test file's own, several coordinators' stores on it, and connections that hold locks for a test. */
export class StoreWorld {
  readonly database: TestDatabase;
  readonly #pool: pg.Pool;
  readonly #coordinators: StoreCoordinator[] = [];
  readonly #clients: pg.Client[] = [];

  private constructor(database: TestDatabase) {
    this.database = database;
    this.#pool = new pg.Pool({ connectionString: database.url, max: 3 });
    this.#pool.on('error', () => {});
  }

  static async open(): Promise<StoreWorld> {
    return new StoreWorld(await createTestDatabase());
  }

  /** On a migrated database that somebody else drops. */
  static on(url: string): StoreWorld {
    return new StoreWorld({ url, name: new URL(url).pathname.slice(1), drop: async () => {} });
  }

  get url(): string {
    return this.database.url;
  }

  coordinator(databaseUrl = this.url): StoreCoordinator {
    const coordinator = new StoreCoordinator(databaseUrl);
    this.#coordinators.push(coordinator);
    return coordinator;
  }

  /** A connection of the test's own, such as one that keeps a transaction open. */
  async client(): Promise<pg.Client> {
    const client = new pg.Client({ connectionString: this.url });
    client.on('error', () => {});
    await client.connect();
    this.#clients.push(client);
    return client;
  }

  async rows<Row extends pg.QueryResultRow>(text: string, values: unknown[] = []): Promise<Row[]> {
    return (await this.#pool.query<Row>(text, values)).rows;
  }

  /** The one value of a statement's one row. */
  async value<Value>(text: string, values: unknown[] = []): Promise<Value> {
    const result = await this.#pool.query({ text, values, rowMode: 'array' });
    return (result.rows[0] as unknown[])[0] as Value;
  }

  async count(table: string, where = 'true', values: unknown[] = []): Promise<number> {
    return Number(await this.value<string>(`select count(*) from skiplease.${table} where ${where}`, values));
  }

  /** The number of a queue that is made when it is new. */
  async queue(name = 'q'): Promise<number> {
    await this.rows('insert into skiplease.queue (name) values ($1) on conflict do nothing', [name]);
    return this.value<number>('select id from skiplease.queue where name = $1', [name]);
  }

  /** Submits through the coordinator's own statement. */
  async submit(coordinator: StoreCoordinator, queueId: number, jobs: NewJob[]): Promise<void> {
    await coordinator.store.submit(rowsOf(queueId, jobs));
  }

  /** Resolves when so many connections of this purpose (submit, claim, settle, mend, rare, pool) wait for a lock. */
  async waitForLockWaits(purpose: string, count = 1): Promise<void> {
    await waitFor(
      async () =>
        (await this.value<number>(
          `select count(*)::int from pg_stat_activity
            where datname = current_database() and wait_event_type = 'Lock' and application_name = $1`,
          [`skiplease ${purpose}`],
        )) >= count,
      { deadlineMs: 5_000, what: `${count} waiting for a lock to ${purpose}` },
    );
  }

  async close(): Promise<void> {
    await Promise.all(this.#coordinators.map(({ store }) => store.close()));
    await Promise.all(this.#clients.map((client) => client.end().catch(() => {})));
    await this.#pool.end();
    await this.database.drop();
  }
}
