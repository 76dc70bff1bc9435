/**
 * Submits payment intents at a steady rate until it is stopped: `npx node worker/payments/load.ts [--rate JOBS_PER_SECOND]`. The
 * example file over and over; each start is a run of its own.
 */
import { setTimeout as delay } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { JobClient, type NewJob } from '../index.ts';
import { stayAlive } from './alive.ts';
import { exampleFile, InputError, wholeNumber } from './input.ts';
import { newRun } from './job_id.ts';
import { paymentJobs } from './payment_jobs.ts';
import { coordinatorAddresses, securityOf } from './places.ts';

/** Small steps, so that what waits shows the workers and not our own rhythm. */
const stepsPerSecondMax = 10;
const jobsMax = 1_000_000_000;
/** How often the log has a line: milliseconds. */
const tellMs = 10_000;

async function take(jobs: AsyncGenerator<NewJob>, count: number): Promise<NewJob[]> {
  const taken: NewJob[] = [];
  while (taken.length < count) {
    const next = await jobs.next();
    if (next.done === true) break;
    taken.push(next.value);
  }
  return taken;
}

async function main(stopped: AbortSignal): Promise<void> {
  const { values } = parseArgs({ options: { rate: { type: 'string', default: process.env['SKIPLEASE_LOAD_RATE'] || '100' } } });
  const rate = wholeNumber('--rate', values.rate, 1, 10_000);
  const stepJobs = Math.ceil(rate / stepsPerSecondMax);
  const stepMs = (1_000 * stepJobs) / rate;
  const client = new JobClient({ addresses: coordinatorAddresses(process.env), ...securityOf(process.env) });
  const jobs = paymentJobs({ path: exampleFile, run: newRun(), jobCount: jobsMax, onUnreadable: () => {} });
  stayAlive(process.env);
  let submitted = 0;
  let dueMs = performance.now();
  let tellAtMs = dueMs + tellMs;
  while (!stopped.aborted) {
    try {
      submitted += (await client.submitMany(await take(jobs, stepJobs))).length;
    } catch (error) {
      // The client has tried for a while. This is a load and not a debt: what an outage kept out is not made up for.
      console.error(`a step of ${stepJobs} jobs was not submitted: ${(error as Error).message}`);
    }
    const nowMs = performance.now();
    if (nowMs >= tellAtMs) {
      tellAtMs = nowMs + tellMs;
      console.log(`${submitted} jobs submitted`);
    }
    dueMs = Math.max(dueMs + stepMs, nowMs);
    await delay(dueMs - nowMs, undefined, { signal: stopped }).catch(() => {});
  }
  client.close();
}

const stop = new AbortController();
for (const signal of ['SIGTERM', 'SIGINT'] as const) process.once(signal, () => stop.abort());
try {
  await main(stop.signal);
} catch (error) {
  console.error(error instanceof InputError ? error.message : error);
  process.exitCode = 1;
}
