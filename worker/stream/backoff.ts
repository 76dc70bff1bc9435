/** Bounds of the waits between tries, in milliseconds. */
export interface BackoffBounds {
  firstMs: number;
  mostMs: number;
}

export const reconnectBackoff: BackoffBounds = { firstMs: 50, mostMs: 5_000 };

/**
 * Exponential backoff with full jitter: anything from 0 to first × 2^failures, at most the bound. Full, because a
 * coordinator's death sends all its workers off at the same instant, and they must not come back as one.
 */
export function backoffMs(failures: number, bounds: BackoffBounds, random: () => number = Math.random): number {
  return random() * Math.min(bounds.mostMs, bounds.firstMs * 2 ** Math.min(failures, 30));
}
