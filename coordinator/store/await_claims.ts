import { setTimeout as delay } from 'node:timers/promises';
import { z } from 'zod';
import { STATEMENT_TIMEOUT_MS } from '../limits.ts';
import { POOL_PURPOSE, sql } from './pool.ts';
import type { Queryable } from './pool.ts';

const LOOK_INTERVAL_MS = 5;

/**
 * Waits until no coordinator's transaction runs that began before this call. Claim and hand-off look at `paused` in their
 * own snapshot, so one that began before a pause was committed may still lease; all later ones see it. None runs longer
 * than the statement timeout, which therefore bounds the wait.
 */
export async function awaitEarlierClaims(pool: Queryable): Promise<void> {
  const since = await pool.oneFirst(sql.type(z.object({ since: z.string() }))`select clock_timestamp()::text as since`);
  const deadline = performance.now() + STATEMENT_TIMEOUT_MS;
  while ((await anyRunsSince(pool, since)) && performance.now() < deadline) {
    await delay(LOOK_INTERVAL_MS);
  }
}

function anyRunsSince(pool: Queryable, since: string): Promise<boolean> {
  return pool.oneFirst(sql.type(z.object({ running: z.boolean() }))`
    select exists (
      select 1 from pg_catalog.pg_stat_activity
       where datname = current_database() and application_name like 'skiplease %' and application_name <> ${`skiplease ${POOL_PURPOSE}`}
         and state <> 'idle' and xact_start < ${since}::timestamptz) as running`);
}
