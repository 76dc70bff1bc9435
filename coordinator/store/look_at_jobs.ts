import { z } from 'zod';
import { mustBeSomewhere } from './get_jobs.ts';
import { MARK, PLACE } from './job_place.ts';
import { sql } from './pool.ts';
import type { Queryable } from './pool.ts';

const lookRow = z.object({
  id: z.string(),
  state: z.number().nullable(),
  mark: z.string(),
});

export type JobLook = z.infer<typeof lookRow>;

/** What a watch compares: cheap enough for all watched jobs at once, a few times a second. Ids that are no jobs are left out. */
export async function lookAtJobs(pool: Queryable, ids: string[]): Promise<JobLook[]> {
  const rows = await pool.any(sql.prepared('look_at_jobs', lookRow)`
    with wanted as materialized (select distinct id from unnest(${sql.array(ids, 'uuid')}) as t (id)), ${PLACE}
    select p.id, p.state, ${MARK} as mark
      from place p
      left join skiplease.progress g on g.job_id = p.id and p.outcome_state is null
      left join skiplease.retried t on t.origin_id = p.id`);
  rows.forEach(mustBeSomewhere);
  return [...rows];
}
