import { z } from 'zod';
import { sql } from './pool.ts';
import type { Pool } from './pool.ts';

export interface RetryPair {
  originId: string;
  /** Of the job that is to be made. */
  newId: string;
}

/** What the new jobs are given. */
export interface RetryPlan {
  /** null: that of the job that failed. */
  maxAttempts: number | null;
  /** The first one is due at this moment of the database's clock, each further one `spacingMs` later. */
  startMs: number;
  spacingMs: number;
  /** How many of the plan were made before. */
  first: number;
}

/** What became of one origin. */
export interface RetriedJob {
  originId: string;
  outcome: 'retried' | 'already_retried' | 'not_failed' | 'not_found';
  /** The job that took its place, made now or before. */
  jobId: string | undefined;
}

/** How it is run stays. Its unique key, batch, deadline and what it waited for were the origin's. */
const KEPT_OPTIONS = sql.fragment`nullif(jsonb_strip_nulls(jsonb_build_object(
  'retry', j.options -> 'retry', 'serialKey', j.options -> 'serialKey', 'limitKey', j.options -> 'limitKey')), '{}')`;

const idPair = z.object({ originId: z.string(), jobId: z.string() });

/**
 * Makes a new job of each FAILED one, in one transaction: the key of `retried` lets at most one call win for each origin.
 * The new jobs go to scheduled, in the order of their origins: only the hot path's short transactions write to ready.
 */
export async function retryJobs(pool: Pool, pairs: RetryPair[], plan: RetryPlan): Promise<RetriedJob[]> {
  const originIds = pairs.map(({ originId }) => originId);
  return pool.transaction(async (transaction) => {
    const made = await transaction.any(sql.type(idPair)`
      with input as (
        select * from unnest(${sql.array(originIds, 'uuid')}, ${sql.array(pairs.map(({ newId }) => newId), 'uuid')}) as i (origin_id, job_id)
      ),
      failed as materialized (
        select i.* from input i
         cross join lateral (select 1 from skiplease.outcome where job_id = i.origin_id and state = 5 offset 0) o
         cross join lateral (select 1 from skiplease.job where id = i.origin_id offset 0) j
      ),
      won as (
        insert into skiplease.retried (origin_id, job_id) select origin_id, job_id from failed order by origin_id
        on conflict (origin_id) do nothing
        returning origin_id, job_id
      ),
      made as (
        insert into skiplease.job (id, queue_id, max_attempts, priority, timeout_ms, origin_id, type, content_type, headers, options, payload)
        select w.job_id, j.queue_id, coalesce(${plan.maxAttempts}::int2, j.max_attempts), j.priority, j.timeout_ms, w.origin_id, j.type, j.content_type, j.headers,
               ${KEPT_OPTIONS}, j.payload
          from won w cross join lateral (select * from skiplease.job where id = w.origin_id offset 0) j
        returning id, queue_id, priority, origin_id, options, skiplease.job_bytes(payload, headers) as bytes
      ),
      waiting as (
        insert into skiplease.scheduled (job_id, run_at, queue_id, bytes, priority, attempt, special)
        select id, to_timestamp((${plan.startMs}::float8
                                  + (${plan.first}::int8 + row_number() over (order by origin_id) - 1) * ${plan.spacingMs}::float8) / 1000),
               queue_id, bytes, priority, 1, skiplease.is_special(options) from made
      )
      select origin_id as "originId", id as "jobId" from made`);
    const madeOf = new Map(made.map(({ originId, jobId }) => [originId, jobId]));
    const others = originIds.filter((id) => !madeOf.has(id));
    const known = new Map(others.length === 0 ? [] : (await lookAtOthers(transaction, others)).map((row) => [row.id, row]));
    return originIds.map((originId) => {
      const jobId = madeOf.get(originId);
      if (jobId !== undefined) {
        return { originId, outcome: 'retried', jobId };
      }
      const before = known.get(originId);
      if (before === undefined) {
        return { originId, outcome: 'not_found', jobId: undefined };
      }
      return before.jobId === null
        ? { originId, outcome: 'not_failed', jobId: undefined }
        : { originId, outcome: 'already_retried', jobId: before.jobId };
    });
  });
}

/** A statement of its own, to see what the winner of a race committed. */
function lookAtOthers(transaction: Pick<Pool, 'any'>, ids: string[]) {
  return transaction.any(sql.type(z.object({ id: z.string(), jobId: z.string().nullable() }))`
    select i.id, t.job_id as "jobId" from unnest(${sql.array(ids, 'uuid')}) as i (id)
     cross join lateral (select 1 from skiplease.job where id = i.id offset 0) j
      left join skiplease.retried t on t.origin_id = i.id`);
}
