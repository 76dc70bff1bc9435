import type pg from 'pg';

/** What was written to the write-ahead log between two places in it. */
export interface WalUse {
  bytes: number;
  /** Of those: full pages, written at a page's first change after a checkpoint. */
  fullPageBytes: number;
  /** Commit records: transactions that wrote something and were made durable. */
  commits: number;
}

/** Where the log ends now. */
export async function walPosition(client: pg.Client): Promise<string> {
  const { rows } = await client.query<{ lsn: string }>('SELECT pg_current_wal_flush_lsn()::text AS lsn');
  return rows[0]!.lsn;
}

/**
 * Reads the log itself (pg_walinspect), which is exact at once: the cumulative statistics views are up to ten seconds
 * late on connections that stay open. The log is the whole server's, so nothing but one contestant may be running.
 */
export async function walBetween(client: pg.Client, from: string, to: string): Promise<WalUse> {
  const { rows } = await client.query<WalUse>(
    `SELECT pg_wal_lsn_diff($2, $1)::float8 AS bytes,
            coalesce(sum(fpi_size), 0)::float8 AS "fullPageBytes",
            coalesce(sum(count) FILTER (WHERE kind = 'Transaction/COMMIT'), 0)::float8 AS commits
       FROM pg_get_wal_stats($1, $2, true) AS wal (kind, count)`,
    [from, to],
  );
  return rows[0]!;
}
