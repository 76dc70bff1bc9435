import type { Mode } from '../roles/methods.ts';

/** The one queue and the one job type there are. */
export const QUEUE = 'bench';
export const TYPE = 'bench';

/** Streams that submit a flood side by side, as many as the peers have calls in flight. */
export const STREAMS = 4;

/**
 * How much the worker may hold. In a flood several leases of 500 (the default of `lease_jobs_max`), so that there is
 * work while reports are on their way; in a trickle as many as graphile-worker's concurrency.
 */
export const WINDOW_JOBS: Record<Mode, number> = { flood: 4_000, trickle: 24 };
