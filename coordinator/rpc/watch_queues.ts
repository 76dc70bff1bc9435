import type { Queue, WatchQueuesRequest, WatchQueuesResponse } from '../../proto/gen/skiplease/v1/queue_service.ts';
import type { Condition } from '../engine/guard.ts';
import { invalidArgument } from '../errors.ts';
import type { Pool } from '../store/pool.ts';
import { queueDepths } from '../store/queue_depths.ts';
import { queuesNamed } from '../store/queues.ts';
import { checkQueueName, noSuchQueue } from './check_names.ts';
import { queueMessage } from './queue_messages.ts';
import type { Look, WatchKind } from './watcher.ts';

const LOOK_INTERVAL_MS = 500;
const QUEUES_MAX = 100;
/** What a queue's message weighs, about. */
const QUEUE_BYTES = 1_024;

interface QueueLook extends Look {
  queue: Queue;
}

/** QueueService.WatchQueues: a look counts, and knows all there is to tell; `shared` are the conditions of the database. */
export function queueWatches(pool: Pool, shared: () => readonly Condition[]): WatchKind<WatchQueuesRequest, QueueLook, WatchQueuesResponse> {
  return {
    name: 'queues',
    idsOf: watchedNames,
    intervalMs: LOOK_INTERVAL_MS,
    look: async (names) => {
      const rows = await queuesNamed(pool, names);
      const depths = new Map((await queueDepths(pool, rows.map(({ id }) => id))).map((depth) => [depth.queueId, depth]));
      return rows.map((row) => {
        const queue = queueMessage(row, depths.get(row.id)!, shared());
        return { id: row.name, mark: markOf(queue), queue };
      });
    },
    readMax: Infinity,
    read: async (looks) => looks.map(({ queue, ...look }) => ({ ...look, response: { queue }, final: false, bytes: QUEUE_BYTES })),
    missing: noSuchQueue,
  };
}

/** The names of a request; INVALID_ARGUMENT for too many, none, or what cannot be one. */
function watchedNames({ queues }: WatchQueuesRequest): string[] {
  if (queues.length < 1 || queues.length > QUEUES_MAX) {
    throw invalidArgument([{ field: 'queues', description: `has ${queues.length} names: 1 to ${QUEUES_MAX} are accepted` }]);
  }
  return queues.map((name, index) => checkQueueName(name, `queues[${index}]`));
}

/** All but what changes by itself while time passes: the oldest job's age, and the words of a condition that lasts. */
function markOf({ depth, conditions, ...rest }: Queue): string {
  return JSON.stringify({ ...rest, depth: { ...depth, oldestReadyAge: undefined }, conditions: conditions.map(({ kind }) => kind) });
}
