/** The one queue there is. */
export const QUEUE = 'bench';

/** Jobs fetched and completed by one call. */
export const BATCH_JOBS = 1_000;

/** Fetch-and-complete loops in the worker's process. */
export const LOOPS = 3;
