import type { Launched } from '../contestant.ts';
import { isExact } from '../measure/tally.ts';
import { check, type Check } from '../report/checks.ts';
import type { FloodOrder } from '../roles/methods.ts';
import type { BenchContext } from './context.ts';

/** The slowest rate that is still waited for. */
const JOBS_PER_SECOND_MIN = 300;
const DEADLINE_MS_MIN = 30_000;
const WARM_UP_JOBS_MAX = 10_000;

/** How long so many jobs may take. */
export function deadlineOf(jobs: number): number {
  return Math.max(DEADLINE_MS_MIN, (jobs / JOBS_PER_SECOND_MIN) * 1000);
}

/** A tenth of the jobs, through processes that were just started; the worker is left running. Answers how many. */
export async function warmUp({ options }: BenchContext, launched: Launched, jobs: number): Promise<number> {
  const count = Math.min(WARM_UP_JOBS_MAX, Math.ceil(jobs / 10));
  const { submitter, worker } = launched;
  await worker.call('expect', { first: 0, count });
  await worker.call('start');
  await submitter.call('submit', { first: 0, count, payloadBytes: options.payloadBytes });
  await worker.call('finished', { deadlineMs: deadlineOf(count) });
  return count;
}

/** No worker runs. From the first submit call to the last answer that says committed, in milliseconds. */
export async function submitStretch({ submitter }: Launched, order: FloodOrder): Promise<number> {
  const { startMs, endMs } = await submitter.call('submit', order);
  return endMs - startMs;
}

/** All jobs wait. From the worker's start to the last durable completion that is waited for. */
export async function drainStretch({ worker }: Launched, jobs: number): Promise<number> {
  const startMs = await worker.call('start');
  return (await worker.call('finished', { deadlineMs: deadlineOf(jobs) })) - startMs;
}

/** The worker waits. From the first submit call to the last durable completion. */
export async function endToEndStretch({ submitter, worker }: Launched, order: FloodOrder): Promise<number> {
  const [submitted, endMs] = await Promise.all([
    submitter.call('submit', order),
    worker.call('finished', { deadlineMs: deadlineOf(order.count) }),
  ]);
  return Math.max(endMs, submitted.endMs) - submitted.startMs;
}

/** To be asked once the worker has stopped, so that a job handed out twice would have been counted by now. */
export async function deliveryCheck({ worker }: Launched): Promise<Check> {
  const delivery = await worker.call('delivery');
  return check('each job handled exactly once', isExact(delivery), JSON.stringify(delivery));
}

/** To be asked once all has stopped: what its own records should say. */
export async function auditCheck(
  launched: Launched,
  expected: { unfinished: number; succeeded: number },
): Promise<Check> {
  const audit = await launched.audit();
  const passed =
    audit.unfinished === expected.unfinished &&
    (audit.succeeded === undefined || audit.succeeded === expected.succeeded);
  const seen = `unfinished ${audit.unfinished} (expected ${expected.unfinished}), succeeded ${audit.succeeded ?? 'not kept'}`;
  return check('its own records agree', passed, `${seen} (expected ${expected.succeeded})`);
}
