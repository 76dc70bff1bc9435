import { setTimeout as delay } from 'node:timers/promises';
import { SkipleaseError } from '../skiplease_error.ts';
import { backoffMs } from '../stream/backoff.ts';
import type { BackoffBounds } from '../stream/backoff.ts';

/**
 * Passing troubles. Every call of the client is safe to repeat: ids are made before the first try. CANCELLED never was by us: it is what
 * gRPC makes of a call that a coordinator, or a proxy, cut off at its own end.
 */
const passingCodes = new Set(['UNAVAILABLE', 'DEADLINE_EXCEEDED', 'CANCELLED', 'RESOURCE_EXHAUSTED', 'ABORTED']);

/** These say that another coordinator may do better. */
const addressCodes = new Set(['UNAVAILABLE', 'DEADLINE_EXCEEDED', 'CANCELLED']);

const backoff: BackoffBounds = { firstMs: 50, mostMs: 5_000 };

export function isPassing(error: SkipleaseError): boolean {
  return passingCodes.has(error.code);
}

export function isOfAddress(error: SkipleaseError): boolean {
  return addressCodes.has(error.code);
}

/**
 * Milliseconds before the next try: what the coordinator asks for, and our own backoff on top. It asks everybody whom it turns
 * away for the same, and they must not come back as one.
 */
export function retryWaitMs(error: SkipleaseError, failures: number): number {
  return (error.retryDelayMs ?? 0) + backoffMs(failures, backoff);
}

/** Tries until it works, the error is not a passing one, or the tries are used up. Throws the last error. */
export async function withRetries<Result>(
  triesMax: number,
  attempt: () => Promise<Result>,
  onFailure: (error: SkipleaseError) => void,
): Promise<Result> {
  for (let tries = 1; ; tries += 1) {
    try {
      return await attempt();
    } catch (thrown) {
      const error = SkipleaseError.from(thrown);
      if (!(error instanceof SkipleaseError)) throw error;
      onFailure(error);
      if (!isPassing(error) || tries >= triesMax) throw error;
      await delay(retryWaitMs(error, tries - 1));
    }
  }
}
