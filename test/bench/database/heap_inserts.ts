import type pg from 'pg';
import { withAdmin, type BenchDatabase } from './server.ts';

/**
 * Rows inserted into one table between two places in the write-ahead log, read from the log itself. An INSERT inside
 * a larger statement has no line of its own in pg_stat_statements, and the tables' own counters are late.
 */
export async function heapInserts(
  admin: pg.Client,
  database: BenchDatabase,
  table: string,
  [from, to]: readonly [string, string],
): Promise<number> {
  const file = await withAdmin(database, async (client) => {
    const { rows } = await client.query<{ reference: string }>(
      `SELECT 'rel ' || coalesce(nullif(c.reltablespace, 0), d.dattablespace) || '/' || d.oid || '/'
              || pg_relation_filenode(c.oid) || ' ' AS reference
         FROM pg_class c, pg_database d WHERE c.oid = $1::regclass AND d.datname = current_database()`,
      [table],
    );
    return rows[0]!.reference;
  });
  const { rows } = await admin.query<{ inserts: number }>(
    `SELECT count(*)::int AS inserts FROM pg_get_wal_records_info($1, $2)
      WHERE resource_manager IN ('Heap', 'Heap2') AND record_type ~ 'INSERT' AND strpos(block_ref, $3) > 0`,
    [from, to, file],
  );
  return rows[0]!.inserts;
}
