import type pg from 'pg';
import { heapInserts } from './heap_inserts.ts';
import { withAdmin, type BenchDatabase } from './server.ts';

/** Tables of ours that a job may go through. */
const ROOTS = ['job', 'ready', 'lease', 'outcome'] as const;
export type JobInserts = Record<(typeof ROOTS)[number], number>;

/** Rows inserted into each of them, partitions together, between two places in the write-ahead log. */
export async function jobInserts(
  admin: pg.Client,
  database: BenchDatabase,
  range: readonly [string, string],
): Promise<JobInserts> {
  const inserts: JobInserts = { job: 0, ready: 0, lease: 0, outcome: 0 };
  for (const { root, table } of await withAdmin(database, partitionsOf)) {
    inserts[root] += await heapInserts(admin, database, table, range);
  }
  return inserts;
}

async function partitionsOf(client: pg.Client): Promise<{ root: keyof JobInserts; table: string }[]> {
  const { rows } = await client.query<{ root: keyof JobInserts; table: string }>(
    `SELECT root, coalesce(leaf.relid::regclass, ('skiplease.' || root)::regclass)::text AS "table"
       FROM unnest($1::text[]) AS root
       LEFT JOIN LATERAL (
         SELECT relid FROM pg_partition_tree(('skiplease.' || root)::regclass) WHERE isleaf
       ) leaf ON true`,
    [ROOTS],
  );
  return rows;
}
