import { z } from 'zod';
import { SkipleaseError } from '../errors.ts';
import { JOB_COLUMNS, JOB_JOINS, jobRow, MARK, PLACE } from './job_place.ts';
import { sql } from './pool.ts';
import type { Queryable } from './pool.ts';

const attemptRow = z.object({
  number: z.number(),
  state: z.number(),
  workerId: z.string(),
  startedAtMs: z.number(),
  endedAtMs: z.number(),
  code: z.string(),
  message: z.string(),
  details: z.string(),
});

const bytes = z.custom<Buffer>((value) => Buffer.isBuffer(value));

const fullRow = jobRow.extend({
  payload: bytes,
  contentType: z.string().nullable(),
  /** The jobs that it waits for, or waited for. */
  after: z.array(z.string()).nullable(),
  result: bytes.nullable(),
  resultType: z.string().nullable(),
  /** Oldest first. */
  attempts: z.array(attemptRow),
  percent: z.number().nullable(),
  note: z.string().nullable(),
  progressAtMs: z.number().nullable(),
  hasCheckpoint: z.boolean().nullable(),
  /** Of lookAtJobs, as of the same moment. */
  mark: z.string(),
});

export type AttemptRow = z.infer<typeof attemptRow>;
export type FullJobRow = z.infer<typeof fullRow>;

/** The jobs with these ids, each with all there is to know, as of one moment. Ids that are no jobs are left out; no order. */
export async function getJobs(pool: Queryable, ids: string[]): Promise<FullJobRow[]> {
  const rows = await pool.any(sql.prepared('get_jobs', fullRow)`
    with wanted as materialized (select distinct id from unnest(${sql.array(ids, 'uuid')}) as t (id)), ${PLACE}
    select ${JOB_COLUMNS},
           j.payload, j.content_type as "contentType", j.after, o.result, o.result_type as "resultType",
           coalesce(h.attempts, '[]') as attempts,
           g.percent, g.note, date_part('epoch', g.updated_at) * 1000 as "progressAtMs",
           g.checkpoint is not null as "hasCheckpoint", ${MARK} as mark
      from place p ${JOB_JOINS}
      cross join lateral (select payload, content_type, options -> 'after' as after from skiplease.job where id = p.id offset 0) j
      left join lateral (select result, result_type from skiplease.outcome where job_id = p.id offset 0) o on true
      left join lateral (
        select jsonb_agg(jsonb_build_object('number', number, 'state', state, 'workerId', worker_id,
                 'startedAtMs', date_part('epoch', started_at) * 1000, 'endedAtMs', date_part('epoch', ended_at) * 1000,
                 'code', error_code, 'message', error_message, 'details', error_details) order by number) as attempts
          from skiplease.attempt where job_id = p.id) h on true
      left join skiplease.progress g on g.job_id = p.id and p.outcome_state is null`);
  rows.forEach(mustBeSomewhere);
  return [...rows];
}

/** A job that is in no table is a broken invariant: said aloud, never papered over. */
export function mustBeSomewhere({ id, state }: { id: string; state: number | null }): void {
  if (state === null) {
    throw new SkipleaseError('INTERNAL', 'JOB_NOWHERE', `Job ${id} is neither waiting, nor held, nor final.`);
  }
}
