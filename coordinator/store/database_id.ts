import { z } from 'zod';
import { sql } from './pool.ts';
import type { Queryable } from './pool.ts';

/** The same for all coordinators of one database, and for no other: its number on its server, and when our schema was made in it. */
export async function databaseId(pool: Queryable): Promise<string> {
  return pool.oneFirst(sql.type(z.object({ id: z.string() }))`
    select d.oid || '-' || (extract(epoch from m.applied_at) * 1000000)::bigint as id
      from pg_catalog.pg_database d cross join skiplease.migration m
     where d.datname = current_database() and m.version = 1`);
}
