import type { Condition as ConditionMessage } from '../../proto/gen/skiplease/v1/queue_service.ts';
import type { Condition } from '../engine/guard.ts';
import type { QueueDepthRow } from '../store/queue_depths.ts';
import { ConditionKind } from '../types.ts';

/** What stands in a queue's way: its own conditions first, then those of the database that all queues share. */
export function conditionsOf(queue: { paused: boolean }, depth: QueueDepthRow, shared: readonly Condition[]): ConditionMessage[] {
  const own: ConditionMessage[] = [];
  if (queue.paused) {
    own.push({ kind: ConditionKind.PAUSED, message: 'The queue is paused: nothing more of it is leased. ResumeQueue lifts that.', since: undefined });
  }
  if (depth.ready > 0 && !depth.served) {
    own.push({
      kind: ConditionKind.NO_WORKER, message: 'Jobs are ready, and no connected worker serves the queue. Start one that names it.', since: undefined,
    });
  }
  return [...own, ...shared.map(({ kind, message, sinceMs }) => ({ kind, message, since: new Date(sinceMs) }))];
}
