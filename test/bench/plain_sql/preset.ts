/** Jobs that one statement inserts, claims or completes. */
export const BATCH_JOBS = 1_000;

/** Connections that insert, each with one statement in flight. */
export const INSERT_CONNECTIONS = 2;

/** Connections that claim, and complete what they have claimed. */
export const CLAIM_CONNECTIONS = 2;
