import type { Queue, SerialRetry } from '../../proto/gen/skiplease/v1/queue_service.ts';
import type { Condition } from '../engine/guard.ts';
import type { QueueDepthRow } from '../store/queue_depths.ts';
import type { QueueRow } from '../store/queues.ts';
import { conditionsOf } from './conditions.ts';
import { limitMessage } from './queue_limits.ts';
import { toDuration } from './time.ts';

/** A queue as it is shown: its settings, its depth, and what stands in its way. `shared`: conditions of the database. */
export function queueMessage(row: QueueRow, depth: QueueDepthRow, shared: readonly Condition[]): Queue {
  return {
    name: row.name,
    paused: row.paused,
    settings: {
      leaseJobsMax: row.leaseJobsMax,
      retryPolicy: {
        maxAttempts: row.maxAttempts,
        initialBackoff: toDuration(row.backoffInitialMs),
        factor: row.backoffFactor,
        maxBackoff: toDuration(row.backoffMaxMs),
        jitter: row.backoffJitter,
      },
      limit: limitMessage(row.limit),
      keyLimit: limitMessage(row.keyLimit),
      serialRetry: row.serialRetry as SerialRetry,
      waitingMax: row.waitingMax ?? undefined,
    },
    depth: {
      ready: depth.ready,
      leased: depth.leased,
      scheduled: depth.scheduled,
      blocked: depth.blocked,
      capped: depth.capped,
      oldestReadyAge: depth.oldestReadyAgeMs === null ? undefined : toDuration(Math.max(depth.oldestReadyAgeMs, 0)),
    },
    conditions: conditionsOf(row, depth, shared),
  };
}
