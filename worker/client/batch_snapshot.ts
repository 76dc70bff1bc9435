import { BatchState } from '../../proto/gen/skiplease/v1/batch_service.ts';
import type { Batch, BatchCounts } from '../../proto/gen/skiplease/v1/batch_service.ts';
import { nameOf } from './job_snapshot.ts';

/** OPEN takes jobs, CLOSED takes no more, FINISHED is closed with all of its jobs final. */
export type BatchStateName = 'OPEN' | 'CLOSED' | 'FINISHED';

/** A batch as it stood when the coordinator answered. */
export interface BatchSnapshot {
  id: string;
  label: string;
  state: BatchStateName;
  /** Exact: `pending` are those that are not final. */
  counts: BatchCounts;
  createTime: Date | undefined;
  closeTime: Date | undefined;
  finishTime: Date | undefined;
  /** The job exists once the batch is finished. Empty: there is none. */
  followUpJobId: string;
}

export function batchFrom({ state, counts, ...same }: Batch): BatchSnapshot {
  return { ...same, state: nameOf(BatchState, state) as BatchStateName, counts: counts! };
}
