import pg from 'pg';
import { waitFor } from './wait.ts';

/** How a job ended, as it stands in the database. */
export interface Ended {
  jobId: string;
  /** The name of the final state. */
  state: 'SUCCEEDED' | 'FAILED' | 'CANCELLED';
  attempt: number;
  finishedAt: Date;
}

/** An attempt that failed or expired. */
export interface Tried {
  jobId: string;
  number: number;
  state: 'FAILED' | 'EXPIRED';
  workerId: string;
}

const STATES = { 4: 'SUCCEEDED', 5: 'FAILED', 6: 'CANCELLED' } as const;

/** What is on record in the database of a test, past all coordinators: the last word on what became of its jobs. */
export class Records {
  readonly #databaseUrl: string;
  readonly #pool: pg.Pool;

  constructor(databaseUrl: string) {
    this.#databaseUrl = databaseUrl;
    this.#pool = new pg.Pool({ connectionString: databaseUrl, max: 2 });
    this.#pool.on('error', () => undefined);
  }

  async ended(jobIds: readonly string[]): Promise<Ended[]> {
    const rows = await this.rows<{ id: string; state: 4 | 5 | 6; attempt: number; finishedAt: Date }>(
      `select job_id as id, state, attempt, finished_at as "finishedAt" from skiplease.outcome where job_id = any($1::uuid[]) order by job_id`, [jobIds]);
    return rows.map(({ id, state, attempt, finishedAt }) => ({ jobId: id, state: STATES[state], attempt, finishedAt }));
  }

  /** Waits until all of them have ended. */
  async untilEnded(jobIds: readonly string[], deadlineMs = 30_000): Promise<Ended[]> {
    let ended: Ended[] = [];
    try {
      await waitFor(async () => (await this.countEnded(jobIds)) === jobIds.length, { deadlineMs, what: `${jobIds.length} jobs to end` });
    } finally {
      ended = await this.ended(jobIds).catch(() => []);
    }
    return ended;
  }

  async countEnded(jobIds: readonly string[]): Promise<number> {
    const [row] = await this.rows<{ count: number }>('select count(*)::int as count from skiplease.outcome where job_id = any($1::uuid[])', [jobIds]);
    return row!.count;
  }

  /** Of all jobs in the database. */
  async countAllEnded(): Promise<number> {
    return (await this.rows<{ count: number }>('select count(*)::int as count from skiplease.outcome'))[0]!.count;
  }

  /** Attempts that were spent without success, by job and number. */
  async tried(jobIds: readonly string[]): Promise<Tried[]> {
    return this.rows<Tried>(
      `select job_id as "jobId", number, case state when 1 then 'FAILED' else 'EXPIRED' end as state, worker_id as "workerId"
         from skiplease.attempt where job_id = any($1::uuid[]) order by job_id, number`, [jobIds]);
  }

  /** Jobs in `ready`, with the attempt that comes next. */
  async ready(jobIds: readonly string[]): Promise<{ jobId: string; attempt: number }[]> {
    return this.rows('select job_id as "jobId", attempt from skiplease.ready where job_id = any($1::uuid[]) order by "position"', [jobIds]);
  }

  async now(): Promise<Date> {
    return (await this.rows<{ now: Date }>('select skiplease.now() as now'))[0]!.now;
  }

  /** Any statement: what only this one test needs. */
  async rows<Row extends object>(text: string, values: readonly unknown[] = []): Promise<Row[]> {
    return (await this.#pool.query<Row>(text, [...values])).rows;
  }

  /** A connection of its own, for locks and transactions. To be ended by the test. */
  async connect(): Promise<pg.Client> {
    const client = new pg.Client({ connectionString: this.#databaseUrl });
    client.on('error', () => undefined);
    await client.connect();
    return client;
  }

  async close(): Promise<void> {
    await this.#pool.end();
  }
}
