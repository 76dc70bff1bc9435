import type { NewJob } from '../types.ts';
import { int4Array, uuidArray } from './binary.ts';
import type { HotConnection, Statement } from './hot_connection.ts';
import { INPUT, jobParameters, type SubmitRow } from './submit.ts';

/**
 * Jobs of which some belong to batches, and nothing else concerns others: like a plain submit, all that is new or nothing. The
 * batches ($12; $13 has the place of each job's, 0 for none) must be open, and are held so until the commit; whatever is in
 * the way ends the statement, and each caller is then taken by itself (submit_special.ts: several times the cost).
 */
const SUBMIT: Statement = {
  name: 'submit_batched',
  text: `
  with open as materialized (
    select id from skiplease.batch where id = any($12::uuid[]) and closed_at is null order by id for key share
  ),
  ${INPUT},
  inserted as (
    insert into skiplease.job (id, "position", queue_id, max_attempts, priority, timeout_ms, run_at, origin_id, type,
                               content_type, headers, options, payload)
    select id, "position", queue_id, max_attempts, priority, timeout_ms, run_at, origin_id, type, content_type, headers::jsonb,
           case when ($13::int4[])[ordinal] > 0 then jsonb_build_object('batchId', ($12::uuid[])[($13::int4[])[ordinal]]) end, payload
      from input order by id
    returning id, "position", queue_id, priority, run_at, skiplease.job_bytes(payload, headers) as bytes, options is not null as special
  ),
  waiting as (
    insert into skiplease.ready ("position", job_id, since, queue_id, bytes, priority, attempt, again, special)
    select "position", id, c.now, queue_id, bytes, priority, 1, false, special
      from inserted, (select skiplease.now() as now) c where "position" is not null
  ),
  timed as (
    insert into skiplease.scheduled (job_id, run_at, queue_id, bytes, priority, attempt, special)
    select id, run_at, queue_id, bytes, priority, 1, special from inserted where "position" is null
  ),
  counted as (
    insert into skiplease.batch_delta (batch_id, entered, succeeded, failed, cancelled)
    select ($12::uuid[])[batch], count(*), 0, 0, 0 from unnest($13::int4[]) as batch where batch > 0 group by batch
  )
  select draw, case when (select count(*) from open) <> cardinality($12::uuid[]) then skiplease.refuse('a batch takes no jobs') end from drawn`,
};

/** Submits them all: the draw of their positions, as for plain ones. */
export async function submitBatched(connection: HotConnection, rows: SubmitRow[]): Promise<number> {
  const batchIds = [...new Set(rows.flatMap(({ job }) => job.options?.batchId ?? []))];
  const places = new Map(batchIds.map((id, index) => [id, index + 1]));
  const [row] = await connection.run(SUBMIT, [
    ...jobParameters(rows), uuidArray(batchIds), int4Array(rows.map(({ job }) => places.get(job.options?.batchId ?? '') ?? 0)),
  ]);
  return Number(row![0]);
}

/** It asks for nothing beyond the usual but to be counted. */
export function isOnlyCounted({ options }: NewJob): boolean {
  return options === null || (options.batchId !== undefined && Object.keys(options).length === 1);
}
