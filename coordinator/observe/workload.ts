import type { Limit } from '../types.ts';

/**
 * How far ahead the starts of a limited rate count: milliseconds, one look of Kubernetes' autoscaler (15 s) and the time that
 * a worker takes to come up.
 */
export const RATE_AHEAD_MS = 30_000;

/** What decides how much work a queue has for workers. Counts of jobs. */
export interface QueueWork {
  ready: number;
  leased: number;
  paused: boolean;
  /** null: none. */
  limit: Limit | null;
  /** Of the limit's rate, as there are now; null: it has none. */
  tokens: number | null;
}

/**
 * How many jobs workers could be at now: those that are held, whatever happens to the queue meanwhile, and of the ready ones as
 * many as may start. Never the ready ones alone: workers who have taken all of them would be sent away in the middle of their work.
 */
export function workloadJobs({ ready, leased, paused, limit, tokens }: QueueWork): number {
  if (paused) {
    return leased;
  }
  const room = limit?.runningMax == null ? Infinity : Math.max(0, limit.runningMax - leased);
  return leased + Math.min(ready, room, startsAhead(limit, tokens));
}

/** What a rate lets start within RATE_AHEAD_MS: workers that only wait for its tokens are of no use. */
function startsAhead(limit: Limit | null, tokens: number | null): number {
  if (limit === null || limit.rate === null) {
    return Infinity;
  }
  const { starts, periodMs, burst } = limit.rate;
  return Math.floor((tokens ?? burst) + (starts * RATE_AHEAD_MS) / periodMs);
}
