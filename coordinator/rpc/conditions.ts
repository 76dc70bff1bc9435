import type { Condition as ConditionMessage } from '../../proto/gen/skiplease/v1/queue_service.ts';
import type { Condition } from '../engine/guard.ts';
import type { QueueDepthRow } from '../store/queue_depths.ts';
import type { QueueRow } from '../store/queues.ts';
import { ConditionKind } from '../types.ts';

/** What stands in a queue's way: its own conditions first, then those of the database that all queues share. */
export function conditionsOf(queue: Pick<QueueRow, 'paused' | 'limit' | 'waitingMax'>, depth: QueueDepthRow, shared: readonly Condition[]): ConditionMessage[] {
  const own: ConditionMessage[] = [];
  const add = (kind: ConditionKind, message: string | undefined) => {
    if (message !== undefined) {
      own.push({ kind, message, since: undefined });
    }
  };
  add(ConditionKind.PAUSED, queue.paused ? 'The queue is paused: nothing more of it is leased. ResumeQueue lifts that.' : undefined);
  add(ConditionKind.NO_WORKER, depth.ready > 0 && !depth.served
    ? 'Jobs are ready, and no connected worker serves the queue. Start one that names it.' : undefined);
  add(ConditionKind.LIMITED, limited(queue, depth));
  add(ConditionKind.RATE_LIMITED, rateLimited(queue, depth));
  add(ConditionKind.BLOCKED, blocked(depth));
  add(ConditionKind.FULL, queue.waitingMax !== null && depth.ready + depth.blocked >= queue.waitingMax
    ? `${depth.ready + depth.blocked} jobs wait, and the queue takes ${queue.waitingMax}: submits are turned away. More workers, or UpdateQueue (waiting_max), make room.`
    : undefined);
  return [...own, ...shared.map(({ kind, message, sinceMs }) => ({ kind, message, since: new Date(sinceMs) }))];
}

function limited({ limit }: Pick<QueueRow, 'limit'>, { ready, leased }: QueueDepthRow): string | undefined {
  const max = limit?.runningMax ?? null;
  return max === null || ready === 0 || leased < max ? undefined
    : `${leased} jobs run, and the queue's limit is ${max}. UpdateQueue (limit.running_max) raises or lifts it.`;
}

function rateLimited({ limit }: Pick<QueueRow, 'limit'>, { ready, tokens }: QueueDepthRow): string | undefined {
  const rate = limit?.rate ?? null;
  if (rate === null || tokens === null || ready === 0 || tokens >= 1) {
    return undefined;
  }
  const dueMs = Math.ceil(((1 - tokens) * rate.periodMs) / rate.starts);
  return `The queue's rate is ${rate.starts} starts in ${rate.periodMs} ms, at most ${rate.burst} at once: the next token comes in ${dueMs} ms. `
    + 'UpdateQueue (limit.rate) raises or lifts it.';
}

function blocked(depth: QueueDepthRow): string | undefined {
  if (depth.ready > 0 || depth.blocked === 0) {
    return undefined;
  }
  const waits = [
    [depth.blockedByDependency, 'for other jobs'],
    [depth.blockedBySerialKey, 'for an earlier job of their serial key'],
    [depth.blockedByLimitKey, 'for the limit of their key'],
  ] as const;
  return `Nothing is ready: ${waits.filter(([jobs]) => jobs > 0).map(([jobs, what]) => `${jobs} ${what}`).join(', ')}. ListJobs (state BLOCKED) names them.`;
}
