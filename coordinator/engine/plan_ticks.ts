import { MissedTicks, Overlap } from '../types.ts';
import { nextTickMs, ticksBetween } from './cron_line.ts';
import type { CronLine } from './cron_line.ts';

/** A tick counts as missed once it is so long past. */
const MISSED_MS = 60_000;
/** Ticks of one schedule that are looked at, the latest ones: the bound of MissedTicks.RUN_ALL. */
export const DUE_TICKS_MAX = 1_000;

export interface TickRules extends CronLine {
  missedTicks: MissedTicks;
  overlap: Overlap;
  /** The first tick that nothing was decided of yet. */
  nextAtMs: number;
}

/** What becomes of the ticks of one schedule that are due. */
export interface TickPlan {
  /** Each of these ticks submits a job. */
  runMs: number[];
  /** So many are passed over. */
  skipped: number;
  /** From where to look on: the next tick, or one that is due and did not fit in; null: there is none. */
  nextAtMs: number | null;
}

/**
 * Which ticks run and which are skipped; at most `runsMax` at a time. 'replace': one is to run in the place of the earlier
 * job, which must be cancelled first.
 */
export function planTicks(rules: TickRules, nowMs: number, earlierOpen: boolean, runsMax: number): TickPlan | 'replace' {
  const due = ticksBetween(rules, rules.nextAtMs, nowMs, DUE_TICKS_MAX);
  const wanted = notMissed(due, rules.missedTicks, nowMs);
  if (rules.overlap === Overlap.REPLACE && earlierOpen && wanted.length > 0) {
    return 'replace';
  }
  const allowed = withoutOverlap(wanted, rules.overlap, earlierOpen);
  const runMs = allowed.slice(0, runsMax);
  return {
    runMs,
    skipped: due.length - allowed.length,
    nextAtMs: allowed[runMs.length] ?? nextTickMs(rules, nowMs),
  };
}

function notMissed(due: number[], policy: MissedTicks, nowMs: number): number[] {
  if (policy === MissedTicks.RUN_ALL) {
    return due;
  }
  const fresh = due.filter((tickMs) => nowMs - tickMs < MISSED_MS);
  return fresh.length === 0 && policy === MissedTicks.RUN_LATEST ? due.slice(-1) : fresh;
}

function withoutOverlap(wanted: number[], policy: Overlap, earlierOpen: boolean): number[] {
  if (policy === Overlap.SKIP) {
    return earlierOpen ? [] : wanted.slice(0, 1);
  }
  return policy === Overlap.REPLACE ? wanted.slice(-1) : wanted;
}
