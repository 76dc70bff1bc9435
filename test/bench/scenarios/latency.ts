import type { Contestant } from '../contestant.ts';
import { isExact } from '../measure/tally.ts';
import { percentile } from '../measure/statistics.ts';
import { check, type Check } from '../report/checks.ts';
import { interleaved, type BenchContext, type Rounds } from './context.ts';

/** Time between two jobs of the trickle. */
export const TRICKLE_INTERVAL_MS = 20;

/** Jobs before those that count: connections, prepared statements and compiled code come with them. */
const WARM_UP_JOBS = 50;
const DEADLINE_MS = 30_000;

/** One trickle of one contestant: time from the submit call to the handler's start. */
export interface LatencyResult {
  jobs: number;
  p50Ms: number;
  p95Ms: number;
  maxMs: number;
  checks: Check[];
}

/** One job each 20 ms on a system with nothing else to do; contestants in turn, on the same server. */
export function runLatency(context: BenchContext): Promise<Rounds<LatencyResult>> {
  const jobs = context.options.quick ? 100 : 500;
  return interleaved(
    context,
    'latency',
    context.contestants.filter((contestant) => contestant.describe().presets.trickle !== undefined),
    (contestant) => trickleRun(context, contestant, jobs),
    ({ p50Ms, p95Ms }) => `p50 ${p50Ms.toFixed(2)} ms, p95 ${p95Ms.toFixed(2)} ms`,
  );
}

async function trickleRun(context: BenchContext, contestant: Contestant, count: number): Promise<LatencyResult> {
  const { server, options } = context;
  const database = await server.createDatabase(contestant.name);
  try {
    const { submitter, worker, stop } = await contestant.launch(database.contestantUrl, 'trickle');
    try {
      const order = { payloadBytes: options.payloadBytes, intervalMs: TRICKLE_INTERVAL_MS };
      await worker.call('expect', { first: 0, count: WARM_UP_JOBS });
      await worker.call('start');
      await submitter.call('trickle', { ...order, first: 0, count: WARM_UP_JOBS });
      await worker.call('finished', { deadlineMs: DEADLINE_MS });
      await worker.call('expect', { first: WARM_UP_JOBS, count });
      await submitter.call('trickle', { ...order, first: WARM_UP_JOBS, count });
      await worker.call('finished', { deadlineMs: DEADLINE_MS });
      await worker.call('stop');
      const delivery = await worker.call('delivery');
      const sorted = (await worker.call('latenciesMs')).toSorted((left, right) => left - right);
      await submitter.call('close');
      return {
        jobs: count,
        p50Ms: percentile(sorted, 50),
        p95Ms: percentile(sorted, 95),
        maxMs: sorted.at(-1)!,
        checks: [check('each job handled exactly once', isExact(delivery), JSON.stringify(delivery))],
      };
    } finally {
      await stop();
    }
  } finally {
    await server.dropDatabase(database);
  }
}
