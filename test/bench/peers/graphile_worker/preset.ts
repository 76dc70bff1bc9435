import type { Mode } from '../../roles/methods.ts';

/**
 * The fastest configuration that graphile-worker's own performance page measures with ("these stats were achieved with
 * this configuration"). For a trickle the page says to switch the local queue off and to keep the batch delays.
 */
export const PRESET = {
  flood: {
    concurrentJobs: 24,
    maxPoolSize: 25,
    localQueue: { size: 500 },
    completeJobBatchDelay: 0,
    failJobBatchDelay: 0,
  },
  trickle: {
    concurrentJobs: 24,
    maxPoolSize: 25,
    localQueue: { size: -1 },
    completeJobBatchDelay: 0,
    failJobBatchDelay: 0,
  },
} satisfies Record<Mode, object>;

/** The one task there is. */
export const TASK = 'bench';
