import { z } from 'zod';
import { sql } from './pool.ts';
import type { Queryable } from './pool.ts';

const batchRow = z.object({
  id: z.string(),
  label: z.string(),
  createdAtMs: z.number(),
  closedAtMs: z.number().nullable(),
  finishedAtMs: z.number().nullable(),
  total: z.number(),
  succeeded: z.number(),
  failed: z.number(),
  cancelled: z.number(),
  followUpId: z.string().nullable(),
});
/** A batch as one snapshot sees it. Times in milliseconds of the database's clock. */
export type BatchRow = z.infer<typeof batchRow>;

/** Columns of batchRow, from `batch b`: what was folded into the row, and what was not yet. */
const COLUMNS = sql.fragment`
  b.id, b.label, date_part('epoch', b.created_at) * 1000 as "createdAtMs", date_part('epoch', b.closed_at) * 1000 as "closedAtMs",
  date_part('epoch', b.finished_at) * 1000 as "finishedAtMs",
  (b.total + d.entered)::float8 as total, (b.succeeded + d.succeeded)::float8 as succeeded,
  (b.failed + d.failed)::float8 as failed, (b.cancelled + d.cancelled)::float8 as cancelled,
  (select f.job_id from skiplease.batch_follow_up f where f.batch_id = b.id) as "followUpId"`;
const DELTAS = sql.fragment`
  cross join lateral (
    select coalesce(sum(entered), 0) as entered, coalesce(sum(succeeded), 0) as succeeded, coalesce(sum(failed), 0) as failed,
           coalesce(sum(cancelled), 0) as cancelled
      from skiplease.batch_delta where batch_id = b.id) d`;

/** These of them that exist, in no order. */
export async function getBatches(pool: Queryable, ids: string[]): Promise<BatchRow[]> {
  return [...await pool.any(sql.type(batchRow)`
    select ${COLUMNS} from skiplease.batch b ${DELTAS} where b.id = any(${sql.array(ids, 'uuid')})`)];
}

/** What a batch is at; each rules the others out. */
export type BatchStage = 'open' | 'closed' | 'finished';

/** The newest below an id, newest first. */
export async function listBatches(pool: Queryable, stage: BatchStage | undefined, idBefore: string, limit: number): Promise<BatchRow[]> {
  return [...await pool.any(sql.type(batchRow)`
    select ${COLUMNS} from (
      select * from skiplease.batch where id < ${idBefore}::uuid and ${inStage(stage)} order by id desc limit ${limit}::int
    ) b ${DELTAS} order by b.id desc`)];
}

function inStage(stage: BatchStage | undefined) {
  switch (stage) {
    case 'open':
      return sql.fragment`finished_at is null and closed_at is null`;
    case 'closed':
      return sql.fragment`finished_at is null and closed_at is not null`;
    case 'finished':
      return sql.fragment`finished_at is not null`;
    case undefined:
      return sql.fragment`true`;
  }
}
