import { BatchServiceService, BatchState } from '../../proto/gen/skiplease/v1/batch_service.ts';
import type {
  Batch, BatchServiceServer, CreateBatchRequest, ListBatchesRequest, ListBatchesResponse,
} from '../../proto/gen/skiplease/v1/batch_service.ts';
import type { Engine } from '../engine/engine.ts';
import { invalidArgument, refuseInvalid, SkipleaseError } from '../errors.ts';
import type { FieldViolation } from '../errors.ts';
import { getBatches, listBatches } from '../store/batches.ts';
import { closeBatch } from '../store/close_batch.ts';
import { createBatch } from '../store/create_batch.ts';
import type { Pool } from '../store/pool.ts';
import { batchMessage, BATCH_STAGES } from './batch_messages.ts';
import type { Canceller } from './cancel.ts';
import { checkBatchId, noSuchBatch } from './check_names.ts';
import { checkFollowUp } from './check_follow_up.ts';
import { newJobId, parseUuid, UUID_MAX } from './ids.ts';
import { checkPageSize, CURSOR, makePageToken, readPageToken } from './page_token.ts';
import type { UnaryCalls } from './unary.ts';
import { idProblem } from './validate.ts';
import type { JobRules } from './job_rules.ts';

const LABEL_CHARACTERS_MAX = 200;
const PAGE_SIZE = 50;
const PAGE_SIZE_MAX = 1_000;

export interface BatchServiceDependencies {
  engine: Engine;
  pool: Pool;
  payloadBytesMax: number;
  calls: UnaryCalls;
  canceller: Canceller;
  watch: BatchServiceServer['watchBatch'];
}

export { BatchServiceService as batchServiceDefinition };

/** skiplease.v1.BatchService */
export function batchService({ engine, pool, payloadBytesMax, calls, canceller, watch }: BatchServiceDependencies): BatchServiceServer {
  const rules = () => ({ nowMs: engine.nowMs(), payloadBytesMax });
  /** Also when it was closed before: somebody may still be on the way in. */
  const close = async (id: string) => {
    await closeBatch(pool, id);
    engine.batchesChanged();
  };
  return {
    createBatch: calls.ordinary(async (request) => ({ batch: await create(engine, pool, request, rules()) })),

    closeBatch: calls.ordinary(async (request) => {
      const id = checkBatchId(request.batchId);
      await close(id);
      return { batch: await get(pool, id) };
    }),

    getBatch: calls.ordinary(async ({ batchId }) => ({ batch: await get(pool, checkBatchId(batchId)) })),

    listBatches: calls.ordinary((request) => list(pool, request)),

    watchBatch: watch,

    cancelBatch: calls.ordinary(async ({ batchId, reason }, stopped) => {
      const id = checkBatchId(batchId);
      const jobsCancelled = await canceller.cancelBatch(id, reason, () => close(id), stopped);
      return { batch: await get(pool, id), jobsCancelled };
    }),
  };
}

async function create(engine: Engine, pool: Pool, request: CreateBatchRequest, rules: JobRules): Promise<Batch> {
  const violations: FieldViolation[] = [];
  const id = request.id === '' ? newJobId(rules.nowMs) : parseUuid(request.id) ?? '';
  const problem = idProblem(id, rules.nowMs);
  if (problem !== undefined) {
    violations.push({ field: 'id', description: problem });
  }
  if (request.label.length > LABEL_CHARACTERS_MAX || request.label.includes('\0')) {
    violations.push({
      field: 'label', description: `is ${request.label.length} characters long: at most ${LABEL_CHARACTERS_MAX}, none of them null, are accepted`,
    });
  }
  refuseInvalid(violations);
  const checked = request.followUp && checkFollowUp(request.followUp, rules, 'follow_up');
  const followUp = checked && { ...checked, queueId: (await engine.queue(checked.job.queue)).id };
  if (!(await createBatch(pool, id, request.label, followUp))) {
    throw new SkipleaseError('ALREADY_EXISTS', 'BATCH_ID_TAKEN', `Batch ${id} exists with another follow-up: choose another id.`,
      { metadata: { batch_id: id } });
  }
  return get(pool, id);
}

async function get(pool: Pool, id: string): Promise<Batch> {
  const [row] = await getBatches(pool, [id]);
  if (row === undefined) {
    throw noSuchBatch(id);
  }
  return batchMessage(row);
}

async function list(pool: Pool, { state, ...request }: ListBatchesRequest): Promise<ListBatchesResponse> {
  if (state !== BatchState.UNSPECIFIED && BATCH_STAGES[state] === undefined) {
    throw invalidArgument([{ field: 'state', description: `${state} is not a BatchState` }]);
  }
  const pageSize = checkPageSize(request.pageSize, PAGE_SIZE, PAGE_SIZE_MAX);
  const rows = await listBatches(pool, BATCH_STAGES[state], readPageToken(request.pageToken, [state], CURSOR.uuid) ?? UUID_MAX, pageSize + 1);
  const page = rows.slice(0, pageSize);
  return { batches: page.map(batchMessage), nextPageToken: rows.length > pageSize ? makePageToken(page.at(-1)!.id, [state]) : '' };
}
