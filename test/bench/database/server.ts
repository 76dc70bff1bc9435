import { randomBytes } from 'node:crypto';
import pg from 'pg';

/** The role that every contestant connects as, so that its statements can be told from the harness's own. */
export const CONTESTANT_ROLE = 'bench_contestant';

/** The PostgreSQL that all contestants share, seen by its superuser. Each run gets an empty database in it. */
export class BenchServer {
  readonly admin: pg.Client;
  readonly #adminUrl: string;
  readonly #password = randomBytes(12).toString('hex');
  #databases = 0;

  constructor(adminUrl: string) {
    this.#adminUrl = adminUrl;
    this.admin = new pg.Client({ connectionString: adminUrl });
  }

  /** Connects, and makes the contestants' role. The URL's role must be a superuser. */
  async open(): Promise<void> {
    await this.admin.connect();
    await this.admin.query(`
      DO $$ BEGIN
        IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = '${CONTESTANT_ROLE}') THEN
          CREATE ROLE ${CONTESTANT_ROLE} LOGIN;
        END IF;
      END $$`);
    await this.admin.query(`ALTER ROLE ${CONTESTANT_ROLE} PASSWORD '${this.#password}'`);
    await this.admin.query('CREATE EXTENSION IF NOT EXISTS pg_stat_statements');
    await this.admin.query('CREATE EXTENSION IF NOT EXISTS pg_walinspect');
  }

  /** An empty database that belongs to the contestants' role. */
  async createDatabase(label: string): Promise<BenchDatabase> {
    this.#databases += 1;
    const name = `bench_${process.pid}_${this.#databases}_${label.replaceAll(/[^a-z0-9]/g, '_')}`;
    await this.admin.query(`CREATE DATABASE ${name} OWNER ${CONTESTANT_ROLE}`);
    const contestantUrl = new URL(this.#adminUrl);
    contestantUrl.pathname = `/${name}`;
    contestantUrl.username = CONTESTANT_ROLE;
    contestantUrl.password = this.#password;
    const adminUrl = new URL(this.#adminUrl);
    adminUrl.pathname = `/${name}`;
    return { name, contestantUrl: contestantUrl.href, adminUrl: adminUrl.href };
  }

  async dropDatabase(database: BenchDatabase): Promise<void> {
    await this.admin.query(`DROP DATABASE IF EXISTS ${database.name} WITH (FORCE)`);
  }

  async close(): Promise<void> {
    await this.admin.end();
  }
}

export interface BenchDatabase {
  name: string;
  /** For the contestant. */
  contestantUrl: string;
  /** For the harness. */
  adminUrl: string;
}

/** Runs `use` with a superuser's connection to this database. */
export async function withAdmin<Result>(
  database: BenchDatabase,
  use: (client: pg.Client) => Promise<Result>,
): Promise<Result> {
  const client = new pg.Client({ connectionString: database.adminUrl });
  await client.connect();
  try {
    return await use(client);
  } finally {
    await client.end();
  }
}
