import type { handleServerStreamingCall } from '@grpc/grpc-js';
import { QueueServiceService } from '../../proto/gen/skiplease/v1/queue_service.ts';
import type { Queue, QueueServiceServer, WatchQueuesRequest, WatchQueuesResponse } from '../../proto/gen/skiplease/v1/queue_service.ts';
import type { Engine } from '../engine/engine.ts';
import type { Condition } from '../engine/guard.ts';
import { awaitEarlierClaims } from '../store/await_claims.ts';
import type { Pool } from '../store/pool.ts';
import { queueDepths } from '../store/queue_depths.ts';
import { changeQueue, changesLimits, getQueue, listQueues } from '../store/queues.ts';
import type { QueueRow } from '../store/queues.ts';
import type { Canceller } from './cancel.ts';
import { checkPageSize, CURSOR, makePageToken, readPageToken } from './page_token.ts';
import { queueMessage } from './queue_messages.ts';
import { checkQueueSettings } from './queue_settings.ts';
import type { UnaryCalls } from './unary.ts';
import { checkQueueName, noSuchQueue } from './check_names.ts';

const PAGE_SIZE = 100;
const PAGE_SIZE_MAX = 1_000;

export interface QueueServiceDependencies {
  engine: Engine;
  pool: Pool;
  calls: UnaryCalls;
  canceller: Canceller;
  /** rpc/watch_queues.ts */
  watch: handleServerStreamingCall<WatchQueuesRequest, WatchQueuesResponse>;
}

export { QueueServiceService as queueServiceDefinition };

/** skiplease.v1.QueueService */
export function queueService({ engine, pool, calls, canceller, watch }: QueueServiceDependencies): QueueServiceServer {
  /** `paused` set or cleared, on every coordinator, before the answer. */
  const setPaused = async (given: string, paused: boolean) => {
    const name = checkQueueName(given);
    const queue = await changeQueue(pool, name, { paused });
    if (queue === undefined) {
      throw noSuchQueue(name);
    }
    engine.queuesChanged([queue.id]);
    if (paused) {
      await awaitEarlierClaims(pool);
    }
    return { queue: await withDepth(pool, queue, engine.conditions) };
  };

  return {
    listQueues: calls.ordinary(async (request, _stopped, access) => {
      const pageSize = checkPageSize(request.pageSize, PAGE_SIZE, PAGE_SIZE_MAX);
      const rows = await listQueues(pool, readPageToken(request.pageToken, [], CURSOR.name) ?? '', pageSize + 1);
      const page = rows.slice(0, pageSize);
      const shown = page.filter(({ name }) => access.may('read', name));
      const depths = new Map((await queueDepths(pool, shown.map(({ id }) => id))).map((depth) => [depth.queueId, depth]));
      return {
        queues: shown.map((row) => queueMessage(row, depths.get(row.id)!, engine.conditions)),
        nextPageToken: rows.length > pageSize ? makePageToken(page.at(-1)!.name, []) : '',
      };
    }),

    getQueue: calls.ordinary(async (request) => {
      const name = checkQueueName(request.queue);
      const queue = await getQueue(pool, name);
      if (queue === undefined) {
        throw noSuchQueue(name);
      }
      return { queue: await withDepth(pool, queue, engine.conditions) };
    }),

    updateQueue: calls.ordinary(async (request) => {
      const name = checkQueueName(request.queue);
      const change = checkQueueSettings(request.settings);
      // It comes into being now, if it is not there yet.
      await engine.queue(name);
      const queue = (await changeQueue(pool, name, change))!;
      engine.queuesChanged([queue.id]);
      if (changesLimits(change)) {
        await awaitEarlierClaims(pool);
        await engine.reviewLimits(queue.id);
      }
      return { queue: await withDepth(pool, queue, engine.conditions) };
    }),

    pauseQueue: calls.ordinary(({ queue }) => setPaused(queue, true)),
    resumeQueue: calls.ordinary(({ queue }) => setPaused(queue, false)),

    purgeQueue: calls.ordinary(async (request, stopped) => {
      const name = checkQueueName(request.queue);
      const queue = await getQueue(pool, name);
      if (queue === undefined) {
        throw noSuchQueue(name);
      }
      return { jobsCancelled: await canceller.purge(queue.id, request.reason, stopped) };
    }),

    watchQueues: watch,
  };
}

async function withDepth(pool: Pool, queue: QueueRow, shared: readonly Condition[]): Promise<Queue> {
  const [depth] = await queueDepths(pool, [queue.id]);
  return queueMessage(queue, depth!, shared);
}
