import { z } from 'zod';
import type { NewJob } from '../types.ts';
import { nothing, sql } from './pool.ts';
import type { Pool } from './pool.ts';

/** The job that is submitted when a batch is finished. */
export interface FollowUp {
  job: NewJob;
  queueId: number;
  /** Not before this long after the batch was finished: milliseconds; null: at the job's own time. */
  delayMs: number | null;
  /** Cancelled when it was not started within this after the batch was finished: milliseconds; null: as the job's options say. */
  startWithinMs: number | null;
}

/**
 * Makes a batch, with a follow-up or without. False: the id is that of a batch with another follow-up (one of another queue or
 * type, or none); true also when the batch was there.
 */
export async function createBatch(pool: Pool, id: string, label: string, followUp: FollowUp | undefined): Promise<boolean> {
  return pool.transaction(async (transaction) => {
    const made = await transaction.any(sql.type(z.object({ id: z.string() }))`
      insert into skiplease.batch (id, label, created_at) values (${id}::uuid, ${label}, skiplease.now())
      on conflict (id) do nothing returning id`);
    if (made.length > 0) {
      if (followUp !== undefined) {
        await insertFollowUp(transaction, id, followUp);
      }
      return true;
    }
    const found = await transaction.maybeOne(sql.type(z.object({ queueId: z.number(), type: z.string() }))`
      select queue_id as "queueId", type from skiplease.batch_follow_up where batch_id = ${id}::uuid`);
    return found?.queueId === followUp?.queueId && found?.type === followUp?.job.type;
  });
}

async function insertFollowUp(transaction: Pick<Pool, 'query'>, batchId: string, { job, queueId, delayMs, startWithinMs }: FollowUp): Promise<void> {
  const runAtSeconds = job.runAtMs === null || delayMs !== null ? null : job.runAtMs / 1_000;
  await transaction.query(sql.type(nothing)`
    insert into skiplease.batch_follow_up
      (batch_id, job_id, queue_id, max_attempts, priority, timeout_ms, run_at, delay_ms, start_within_ms, type, content_type, headers,
       options, payload)
    values (${batchId}::uuid, ${job.id}::uuid, ${queueId}, ${job.maxAttempts}::int2, ${job.priority}, ${job.timeoutMs}::int8,
            to_timestamp(${runAtSeconds}::float8), ${delayMs}::int8, ${startWithinMs}::int8, ${job.type}, ${job.contentType},
            ${job.headers}::jsonb, ${job.options === null ? null : JSON.stringify(job.options)}::jsonb, ${sql.binary(Buffer.from(job.payload))})`);
}
