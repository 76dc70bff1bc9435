import { z } from 'zod';
import { failedCandidates, jobMatches, lastErrorMatches } from './job_filter.ts';
import type { JobFilter } from './job_filter.ts';
import { sql } from './pool.ts';
import type { Pool } from './pool.ts';

/** Ids that one statement looks at, at most, when a filter leaves most of them out. */
const SCAN_MAX = 5_000;

const pageRow = z.object({ ids: z.array(z.string()), scanned: z.number(), lastScanned: z.string().nullable() });

/**
 * FAILED jobs that match and were not retried yet, oldest first, in pages of at most `sizeOf()`; a page may be empty. Each is
 * one statement that looks at a bounded number of rows.
 */
export async function* failedJobs(pool: Pool, filter: JobFilter, sizeOf: () => number): AsyncGenerator<string[], void, void> {
  let after = filter.idFrom;
  for (;;) {
    const size = sizeOf();
    const { ids, scanned, lastScanned } = await pool.one(sql.type(pageRow)`
      with scan as materialized (
        select id from (${failedCandidates(filter)}) c (id)
         where id > ${after}::uuid and id < ${filter.idBefore}::uuid order by id limit ${SCAN_MAX}::int
      ),
      wanted as materialized (
        select s.id from scan s
         cross join lateral (select 1 from skiplease.outcome where job_id = s.id and state = 5 offset 0) o
         cross join lateral (select queue_id, type, options from skiplease.job where id = s.id offset 0) j
         where ${jobMatches(filter)} and ${lastErrorMatches(filter)}
           and not exists (select 1 from skiplease.retried where origin_id = s.id)
         order by s.id limit ${size}::int
      )
      select array(select id from wanted order by id) as ids, (select count(*) from scan)::int as scanned,
             (select id from scan order by id desc limit 1) as "lastScanned"`);
    yield ids;
    if (ids.length === size) {
      after = ids.at(-1)!;
    } else if (scanned === SCAN_MAX) {
      after = lastScanned!;
    } else {
      return;
    }
  }
}
