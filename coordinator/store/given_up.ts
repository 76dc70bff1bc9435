import type pg from 'pg';
import { SkipleaseError } from '../errors.ts';

const RETRY_MS = 1_000;

/**
 * Connections that we gave up on because no answer came. Their backends may still be at it: in a commit that waits for a
 * standby they hear neither that we have gone nor of their timeouts. Each try would leave one more behind, until PostgreSQL has no
 * connection left for anybody.
 */
export class GivenUp {
  readonly #max: number;
  #pids: number[] = [];

  /** So many may be left behind at a time. */
  constructor(max: number) {
    this.#max = max;
  }

  add(client: pg.Client): void {
    this.#pids.push((client as unknown as { processID: number }).processID);
  }

  /** Asks the new connection about them. UNAVAILABLE, and the connection ended, while as many of them are busy as there may be. */
  async check(client: pg.Client): Promise<void> {
    if (this.#pids.length === 0) {
      return;
    }
    try {
      await this.#refuseToPileUp(client);
    } catch (error) {
      await client.end().catch(() => {});
      throw error;
    }
  }

  async #refuseToPileUp(client: pg.Client): Promise<void> {
    const { rows } = await client.query<{ pid: number }>(
      `select pid from pg_catalog.pg_stat_activity where pid = any($1::int4[]) and state = 'active' and application_name like 'skiplease %'`, [this.#pids]);
    this.#pids = rows.map(({ pid }) => pid);
    if (rows.length >= this.#max) {
      throw new SkipleaseError('UNAVAILABLE', 'DATABASE_STALLED',
        'The database does not come to an end with what it was asked before: perhaps its commits wait for a standby that is away. Try again; a submit with the same ids is harmless.',
        { retryAfterMs: RETRY_MS });
    }
  }
}
