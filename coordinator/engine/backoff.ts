import type { RetryPolicy } from '../types.ts';

/**
 * When a failed attempt is tried again: milliseconds from now. `attempt` is the one that failed, from 1; `random` is in
 * [0, 1) and spreads the result over ± jitter.
 */
export function backoffMs(policy: RetryPolicy, attempt: number, random: number): number {
  // A growth beyond all numbers is Infinity, and zero times that is none.
  const plain = policy.initialMs === 0 ? 0 : Math.min(policy.initialMs * policy.factor ** (attempt - 1), policy.maxMs);
  return Math.max(0, Math.round(plain * (1 + policy.jitter * (2 * random - 1))));
}
