import type { Retention } from './types.ts';

/** Bounds that rooms share. Each queue, loop and buffer that has one names it. */

/**
 * A statement, and with it a coordinator's transaction, may last this long at most: milliseconds. The trailing low-water
 * mark stays behind by twice this, so the two belong together.
 */
export const STATEMENT_TIMEOUT_MS = 5_000;

/** Jobs that one submit carries at most. */
export const SUBMIT_JOBS_MAX = 10_000;
/** Jobs of submits that wait for their commit on one coordinator, before it says RESOURCE_EXHAUSTED. */
export const SUBMIT_WAITING_JOBS_MAX = 100_000;
/** Bytes of submits that wait for their commit, likewise, as jobBytes() counts them. */
export const SUBMIT_WAITING_BYTES_MAX = 128 * 1024 * 1024;
/** Calls, and chunks of streams, that wait for their commit, likewise: a call of one job weighs many times its job. */
export const SUBMIT_WAITING_CALLS_MAX = 10_000;
/** A submit that has waited so long for its turn is turned away: whoever sent it may have given it up, and sends it again. Milliseconds. */
export const SUBMIT_WAITING_MS_MAX = 5_000;
/** Outcomes that wait for their commit on one coordinator, before it stops reading from its streams. */
export const REPORT_WAITING_OUTCOMES_MAX = 50_000;
/** Bytes of results, errors and follow-up jobs that wait for their commit, likewise. */
export const REPORT_WAITING_BYTES_MAX = 128 * 1024 * 1024;
/** Bytes of checkpoints and notes that wait to be written, likewise. */
export const PROGRESS_WAITING_BYTES_MAX = 32 * 1024 * 1024;
/** Sessions of one coordinator: streams of workers, and those that broke less than a time to live ago. */
export const SESSIONS_MAX = 20_000;
/** Queues that they serve and tokens that they have named, all together. */
export const SESSION_NAMES_MAX = 2_000_000;
/** Jobs that they hold, all together, before nothing more is leased. */
export const HELD_JOBS_MAX = 2_000_000;
/** Queues of one database. Each coordinator remembers all that it has met. */
export const QUEUES_MAX = 100_000;
/** Outcomes in one report. */
export const REPORT_OUTCOMES_MAX = 10_000;
/** Jobs of one lease, whatever the queue's settings say. */
export const LEASE_JOBS_MAX = 1_000;
/**
 * Positions in ready that one draw from the sequence yields: more than any statement inserts (a submit of SUBMIT_JOBS_MAX).
 * A power of two; statements have it in their text.
 */
export const POSITIONS_OF_A_DRAW = 16_384;
/** Schedules whose ticks one transaction deals with. */
export const TICK_SCHEDULES_MAX = 50;
/** Scheduled jobs that one statement makes ready. */
export const PROMOTE_JOBS_MAX = 2_000;
/** How long final jobs are kept where nobody says otherwise. */
export const RETENTION: Retention = { days: 7, failedDays: 30 };
