import type pg from 'pg';

/** Rows written to one table (its partitions together) since the database was made. */
export interface TableChurn {
  table: string;
  inserted: number;
  /** Row versions left dead by updates and deletes, whether or not vacuum has been there. */
  dead: number;
}

/**
 * Row traffic by table. The figures of a connection are exact once it is closed: read this after the contestant has
 * stopped. Counted from updates and deletes rather than from n_dead_tup, which autovacuum sets back.
 */
export async function readTableChurn(client: pg.Client): Promise<TableChurn[]> {
  const { rows } = await client.query<TableChurn>(
    `SELECT n.nspname || '.' || r.relname AS "table",
            sum(s.n_tup_ins)::float8 AS inserted,
            sum(s.n_tup_upd + s.n_tup_del)::float8 AS dead
       FROM pg_stat_user_tables s
       JOIN pg_class r ON r.oid = coalesce(pg_partition_root(s.relid), s.relid)
       JOIN pg_namespace n ON n.oid = r.relnamespace
      GROUP BY 1
     HAVING sum(s.n_tup_ins + s.n_tup_upd + s.n_tup_del) > 0
      ORDER BY 3 DESC, 2 DESC`,
  );
  return rows;
}
