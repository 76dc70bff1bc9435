import { BatchState } from '../../proto/gen/skiplease/v1/batch_service.ts';
import type { Batch } from '../../proto/gen/skiplease/v1/batch_service.ts';
import type { BatchRow, BatchStage } from '../store/batches.ts';

/** A batch as the wire shows it. */
export function batchMessage(row: BatchRow): Batch {
  const { total, succeeded, failed, cancelled } = row;
  return {
    id: row.id,
    label: row.label,
    state: row.finishedAtMs !== null ? BatchState.FINISHED : row.closedAtMs !== null ? BatchState.CLOSED : BatchState.OPEN,
    counts: { total, pending: total - succeeded - failed - cancelled, succeeded, failed, cancelled },
    createTime: new Date(row.createdAtMs),
    closeTime: row.closedAtMs === null ? undefined : new Date(row.closedAtMs),
    finishTime: row.finishedAtMs === null ? undefined : new Date(row.finishedAtMs),
    followUpJobId: row.followUpId ?? '',
  };
}

/** What the store calls the states. */
export const BATCH_STAGES: Readonly<Record<number, BatchStage | undefined>> = {
  [BatchState.OPEN]: 'open', [BatchState.CLOSED]: 'closed', [BatchState.FINISHED]: 'finished',
};
