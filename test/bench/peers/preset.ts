/** How many jobs one call of a peer submits. */
export const JOBS_PER_CALL = 1_000;
/** Calls in flight at once, as many as Skiplease has streams. */
export const CALLS_IN_FLIGHT = 4;

/** How the peers cut a flood into calls. */
export const CALLS = { together: JOBS_PER_CALL, inFlight: CALLS_IN_FLIGHT };
