import { z } from 'zod';
import { sql } from './pool.ts';
import type { Queryable } from './pool.ts';

const row = z.object({ id: z.string(), queue: z.string() });

/** The names of the queues that these jobs are of, by the job's id. Ids that are no jobs are left out. */
export async function queuesOfJobs(pool: Queryable, ids: string[]): Promise<ReadonlyMap<string, string>> {
  const rows = await pool.any(sql.prepared('queues_of_jobs', row)`
    select j.id::text as id, q.name as queue
      from unnest(${sql.array(ids, 'uuid')}) as i (id)
     cross join lateral (select id, queue_id from skiplease.job where id = i.id offset 0) j
      join skiplease.queue q on q.id = j.queue_id`);
  return new Map(rows.map(({ id, queue }) => [id, queue]));
}
