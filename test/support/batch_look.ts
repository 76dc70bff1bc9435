import { z } from 'zod';
import { getBatches } from '../../coordinator/store/batches.ts';
import { nothing, sql, type Pool } from '../../coordinator/store/pool.ts';

export interface Counts {
  total: number;
  succeeded: number;
  failed: number;
  cancelled: number;
}

/** A batch, what it counts beside what there is to count, and its follow-up, all of one snapshot. */
export interface BatchLook {
  closed: boolean;
  finishedAtMs: number | null;
  /** As the batch has it. */
  counted: Counts;
  /** As the tables of jobs and outcomes have it. */
  counts: Counts;
  followUps: number;
  /** By the follow-up's headers. */
  followUpCounts: Counts | undefined;
}

const truthRow = z.object({
  total: z.number(), succeeded: z.number(), failed: z.number(), cancelled: z.number(), headers: z.record(z.string(), z.string()).nullable(),
});

export function lookAtBatch(pool: Pool, batchId: string, followUpId: string): Promise<BatchLook> {
  return pool.transaction(async (transaction) => {
    await transaction.query(sql.type(nothing)`set transaction isolation level repeatable read`);
    const [batch] = await getBatches(transaction, [batchId]);
    const { headers, ...counts } = await transaction.one(sql.type(truthRow)`
      select count(*)::int as total, count(*) filter (where o.state = 4)::int as succeeded, count(*) filter (where o.state = 5)::int as failed,
             count(*) filter (where o.state = 6)::int as cancelled, (select headers from skiplease.job where id = ${followUpId}::uuid) as headers
        from skiplease.job j left join skiplease.outcome o on o.job_id = j.id
       where j.options ->> 'batchId' = ${batchId}`);
    const { total, succeeded, failed, cancelled, closedAtMs, finishedAtMs } = batch!;
    const of = (name: string) => Number(headers?.[`skiplease-batch-${name}`]);
    return {
      closed: closedAtMs !== null,
      finishedAtMs,
      counted: { total, succeeded, failed, cancelled },
      counts,
      followUps: headers === null ? 0 : 1,
      followUpCounts: headers === null ? undefined : { total: of('total'), succeeded: of('succeeded'), failed: of('failed'), cancelled: of('cancelled') },
    };
  });
}
