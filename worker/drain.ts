import { setTimeout as delay } from 'node:timers/promises';
import { WorkerStoppingError } from './abort_reasons.ts';
import { leaseIdOf } from './lease/held_leases.ts';
import type { HeldLeases } from './lease/held_leases.ts';
import type { Logger } from './logger.ts';
import type { Runner } from './run/runner.ts';

/** At stop: how long the last receipts are waited for, in milliseconds. What has none by then may run again elsewhere. */
const lastReceiptsMs = 5_000;

export interface DrainParts {
  runner: Runner;
  leases: HeldLeases;
  logger: Logger;
  drainDeadlineMs: number;
  timeoutGraceMs: number;
}

/** Hands back what has not started, lets running handlers end within the deadline, and waits for the last receipts. */
export async function drain({ runner, leases, logger, drainDeadlineMs, timeoutGraceMs }: DrainParts): Promise<void> {
  runner.stop();
  if (!(await within(drainDeadlineMs, runner.idle()))) {
    const late = leases.running();
    logger.warn({ event: 'drain_deadline', jobs: late.length }, `${late.length} jobs still run at the drain deadline`);
    for (const job of late) job.abort(new WorkerStoppingError('the worker stops, and its drain deadline has passed'));
    await within(timeoutGraceMs, runner.idle());
    runner.release(leases.running());
  }
  if (!(await within(lastReceiptsMs, leases.empty()))) {
    const fields = { event: 'receipts_missing', leases: leases.tokens().map(leaseIdOf) };
    logger.warn(fields, 'stopped without the last receipts; some jobs may run again');
  }
}

/** Whether the promise resolved within this time. */
async function within(milliseconds: number, promise: Promise<void>): Promise<boolean> {
  const timer = new AbortController();
  const late = delay(milliseconds, false, { signal: timer.signal }).catch(() => false);
  const inTime = await Promise.race([promise.then(() => true), late]);
  timer.abort();
  return inTime;
}
