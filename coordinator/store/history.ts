import type pg from 'pg';
import { SkipleaseError } from '../errors.ts';
import { sqlState } from './sql_errors.ts';

/** What a caller that was turned away waits before it tries again: milliseconds. */
const RETRY_AFTER_MS = 1_000;
/** More numbers than what was lost may have used up: half a minute of the fastest coordinators there are. */
const NUMBERS_SKIPPED = 1_000_000;

/**
 * PostgreSQL's timeline: a standby that is promoted, or a restore to an earlier moment, begins a new one. undefined: this server
 * does not tell (some managed ones do not, and some of those have no timelines).
 */
export type Timeline = number | undefined;

/**
 * The history that this process remembers. Where a standby took over that had not received all, or a backup was restored,
 * what was committed last is gone, and its numbers are given to others: of a queue, a lease, a place in line. What
 * is remembered of them (marks, queues, leases, jobs written moments ago) must then not be used any more, not even once.
 */
export class History {
  readonly #timeline: Timeline;
  readonly #ended: () => void;

  /** `ended` is called when a connection finds the database in another history, each time. */
  constructor(timeline: Timeline, ended: () => void) {
    this.#timeline = timeline;
    this.#ended = ended;
  }

  /** Rejects when the server takes no writes, or does not go on with this history: the connection must not be used. */
  async check(client: pg.ClientBase): Promise<void> {
    await refuseReadOnly(client);
    const timeline = await readTimeline(client);
    if (timeline !== undefined && this.#timeline !== undefined && timeline !== this.#timeline) {
      this.#ended();
      throw new SkipleaseError('UNAVAILABLE', 'DATABASE_REPLACED',
        'The database was replaced by a standby of it, or restored: this coordinator starts over. Try again; a submit with the same ids is harmless.',
        { retryAfterMs: RETRY_AFTER_MS });
    }
  }
}

/** Rejects with UNAVAILABLE when the server takes no writes. */
export async function refuseReadOnly(client: pg.ClientBase): Promise<void> {
  const { rows } = await client.query<{ read_only: boolean }>(`select current_setting('transaction_read_only')::bool as read_only`);
  if (rows[0]!.read_only) {
    throw new SkipleaseError('UNAVAILABLE', 'DATABASE_READ_ONLY',
      'The database takes no writes: it is a standby, or default_transaction_read_only is set. Try again once that is over.',
      { retryAfterMs: RETRY_AFTER_MS });
  }
}

/**
 * Before a coordinator remembers anything, with others kept out: the first one in a new history skips the numbers that may have been
 * given out in what was lost, so that ids of leases and places in line only ever grow.
 */
export async function enterHistory(client: pg.ClientBase): Promise<Timeline> {
  const timeline = await readTimeline(client);
  if (timeline !== undefined) {
    await client.query(
      `with entered as (insert into skiplease.history (timeline) values ($1) on conflict do nothing returning timeline)
       select setval(number, nextval(number) + $2)
         from entered, unnest(array['skiplease.lease_id', 'skiplease.position']::regclass[]) as number
        where exists (select 1 from skiplease.history)`,
      [timeline, NUMBERS_SKIPPED],
    );
  }
  return timeline;
}

async function readTimeline(client: pg.ClientBase): Promise<Timeline> {
  try {
    // The log's files are named by it.
    const { rows } = await client.query<{ timeline: number }>(
      `select ('x' || left(pg_walfile_name(pg_current_wal_insert_lsn()), 8))::bit(32)::int as timeline`);
    return rows[0]!.timeline;
  } catch (error) {
    // An answer of the server, and no way to have one.
    if (sqlState(error) !== undefined) {
      return undefined;
    }
    throw error;
  }
}
