import { byteaArray, int8Array, textArray, uuidArray } from './binary.ts';
import type { HotConnection, Statement } from './hot_connection.ts';

/** What a worker says of a job that it holds. */
export interface ProgressRow {
  jobId: string;
  leaseId: bigint;
  secret: bigint;
  percent: number;
  note: string;
  /** null keeps the one before. */
  checkpoint: Uint8Array | null;
  checkpointType: string | null;
}

/** Fenced by the token: a stale holder's checkpoint must not reach the next attempt. */
const SAVE: Statement = {
  name: 'save_progress',
  text: `
  insert into skiplease.progress (job_id, lease_id, percent, note, checkpoint, checkpoint_type, updated_at)
  select i.job_id, i.lease_id, i.percent::float8, i.note, i.checkpoint, i.checkpoint_type, skiplease.now()
    from unnest($1::uuid[], $2::int8[], $3::int8[], $4::text[], $5::text[], $6::bytea[], $7::text[])
           as i (job_id, lease_id, secret, percent, note, checkpoint, checkpoint_type)
   cross join lateral (select 1 from skiplease.lease l where l.id = i.lease_id and l.secret = i.secret
                          and get_bit(l.settled, array_position(l.job_ids, i.job_id) - 1) = 0 for key share) held
  on conflict (job_id) do update set lease_id = excluded.lease_id, percent = excluded.percent, note = excluded.note,
    checkpoint = coalesce(excluded.checkpoint, progress.checkpoint),
    checkpoint_type = case when excluded.checkpoint is null then progress.checkpoint_type else excluded.checkpoint_type end,
    updated_at = excluded.updated_at where progress.lease_id <= excluded.lease_id`,
};

/** Each job at most once in `rows`. What is not held under its token is left out. */
export async function saveProgress(connection: HotConnection, rows: ProgressRow[]): Promise<void> {
  await connection.run(SAVE, [
    uuidArray(rows.map(({ jobId }) => jobId)),
    int8Array(rows.map(({ leaseId }) => leaseId)),
    int8Array(rows.map(({ secret }) => secret)),
    textArray(rows.map(({ percent }) => String(percent))),
    textArray(rows.map(({ note }) => note)),
    byteaArray(rows.map(({ checkpoint }) => checkpoint)),
    textArray(rows.map(({ checkpointType }) => checkpointType)),
  ]);
}

const SWEEP: Statement = {
  name: 'sweep_progress',
  text: `delete from skiplease.progress p where exists (select 1 from skiplease.outcome o where o.job_id = p.job_id)`,
};

/** Forgets the progress of jobs that ended: off the hot path, which would pay for it with every success. */
export async function sweepProgress(connection: HotConnection): Promise<void> {
  await connection.run(SWEEP, []);
}
