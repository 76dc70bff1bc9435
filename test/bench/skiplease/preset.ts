import type { Mode } from '../roles/methods.ts';

/** The one job type there is. */
export const TYPE = 'bench';

/** The queue of a run that has only one. */
export const QUEUE = 'bench';

/** Jobs from this number on go to a queue that no worker serves: they only wait, beside those that are measured. */
export const FIRST_BESIDE = 500_000_000;

/** Has no divisor in common with any count of queues that is asked for, so that neighbours go to queues far apart. */
const STRIDE = 7_919;

/** The queue that a job goes to: with the numbers from 0 on, each of `queues` in turn. */
export function queueOf(number: number, queues: number): string {
  if (number >= FIRST_BESIDE) return `${QUEUE}-beside`;
  return queues === 1 ? QUEUE : `${QUEUE}-${(number * STRIDE) % queues}`;
}

/** All queues of a run. */
export function queueNames(queues: number): string[] {
  return Array.from({ length: queues }, (_, number) => queueOf(number, queues));
}

/** Streams that submit a flood side by side, as many as the peers have calls in flight. */
export const STREAMS = 4;

/**
 * How much the worker may hold. In a flood several leases of 500 (the default of `lease_jobs_max`), so that there is
 * work while reports are on their way; in a trickle as many as graphile-worker's concurrency.
 */
export const WINDOW_JOBS: Record<Mode, number> = { flood: 4_000, trickle: 24 };
