/**
 * The configuration with which graphile-worker's own performance page takes both its best throughput and its best
 * latency. For a trickle four others were tried (no local queue, no batch delays, four concurrent jobs): p50 was 3.6 to
 * 4.0 ms with each of them on a quiet machine.
 */
export const PRESET = {
  concurrentJobs: 24,
  maxPoolSize: 25,
  localQueue: { size: 500 },
  completeJobBatchDelay: 0,
  failJobBatchDelay: 0,
};

/** The one task there is. */
export const TASK = 'bench';
