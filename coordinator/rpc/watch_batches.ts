import { BatchState } from '../../proto/gen/skiplease/v1/batch_service.ts';
import type { Batch, WatchBatchRequest, WatchBatchResponse } from '../../proto/gen/skiplease/v1/batch_service.ts';
import { getBatches } from '../store/batches.ts';
import type { Pool } from '../store/pool.ts';
import { batchMessage } from './batch_messages.ts';
import { checkBatchId, noSuchBatch } from './check_names.ts';
import type { Look, WatchKind } from './watcher.ts';

const LOOK_INTERVAL_MS = 200;
/** What a batch's message weighs, at most. */
const BATCH_BYTES = 1_024;

interface BatchLook extends Look {
  batch: Batch;
}

/** BatchService.WatchBatch: a look counts, and knows all there is to tell. */
export function batchWatches(pool: Pool): WatchKind<WatchBatchRequest, BatchLook, WatchBatchResponse> {
  return {
    name: 'batches',
    idsOf: ({ batchId }) => [checkBatchId(batchId)],
    intervalMs: LOOK_INTERVAL_MS,
    look: async (ids) => (await getBatches(pool, ids)).map((row) => {
      const batch = batchMessage(row);
      return { id: row.id, mark: JSON.stringify([batch.state, batch.counts]), batch };
    }),
    readMax: Infinity,
    read: async (looks) => looks.map(({ batch, ...look }) => ({
      ...look, response: { batch }, final: batch.state === BatchState.FINISHED, bytes: BATCH_BYTES,
    })),
    missing: noSuchBatch,
  };
}
