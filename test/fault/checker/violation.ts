import type { Facts } from './facts.ts';

/** A promise that was not kept. */
export interface Violation {
  rule: string;
  /** undefined: it is not about one job. */
  jobId: string | undefined;
  what: string;
}

/** One thing that must hold. One file each in rules/. Pure: it looks at nothing but the facts. */
export interface Rule {
  name: string;
  /** The promise that it stands for, for people. */
  holds: string;
  check(facts: Facts): Iterable<Omit<Violation, 'rule'>>;
}

/**
 * How far two clocks may be apart: the monotonic clock is read as whole microseconds, but how far the wall's clock, which the database
 * tells time by, is ahead of it is known to a millisecond.
 */
export const CLOCKS_APART_MS = 3;
