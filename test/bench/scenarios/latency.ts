import type { Contestant } from '../contestant.ts';
import { percentile } from '../measure/statistics.ts';
import type { Check } from '../report/checks.ts';
import { spreads } from '../report/figure.ts';
import type { Scenario } from '../scenario.ts';
import { interleaved, roundsOf, type BenchContext } from './context.ts';
import { deliveryCheck } from './stretch.ts';

/** Time between two jobs of the trickle. */
export const TRICKLE_INTERVAL_MS = 20;

/** Jobs before those that count: connections, prepared statements and compiled code come with them. */
const WARM_UP_JOBS = 50;
const JOBS = 500;
const JOBS_QUICK = 100;
const DEADLINE_MS = 30_000;
const ROUNDS = 5;

/** One trickle of one contestant: time from the submit call to the handler's start. */
export interface LatencyResult {
  jobs: number;
  p50Ms: number;
  p95Ms: number;
  maxMs: number;
  checks: Check[];
}

/** One job each 20 ms on a system with nothing else to do; contestants in turn. */
export const latency: Scenario = {
  name: 'latency',
  async run(context) {
    const jobs = context.options.quick ? JOBS_QUICK : JOBS;
    const subjects = context.contestants.filter((contestant) => contestant.describe().presets.trickle !== undefined);
    const { results, checks } = await interleaved(
      context,
      { label: 'latency', rounds: roundsOf(context, ROUNDS), subjects },
      (contestant) => trickleRun(context, contestant, jobs),
      ({ p50Ms, p95Ms }) => `p50 ${p50Ms.toFixed(2)} ms, p95 ${p95Ms.toFixed(2)} ms`,
    );
    const shared = { digits: 2, compared: true };
    return {
      figures: [
        { ...shared, id: 'latency/p50_ms', label: 'latency: ms, p50', heading: true, values: spreads(results, ({ p50Ms }) => p50Ms) },
        { ...shared, id: 'latency/p95_ms', label: '  p95', values: spreads(results, ({ p95Ms }) => p95Ms) },
      ],
      texts: [],
      checks,
      raw: results,
    };
  },
};

async function trickleRun(context: BenchContext, contestant: Contestant, count: number): Promise<LatencyResult> {
  const { server, options } = context;
  const launched = await contestant.launch(server, 'trickle');
  try {
    const { submitter, worker } = launched;
    const order = { payloadBytes: options.payloadBytes, intervalMs: TRICKLE_INTERVAL_MS, together: 1 };
    await worker.call('expect', { first: 0, count: WARM_UP_JOBS });
    await worker.call('start');
    await submitter.call('paced', { ...order, first: 0, count: WARM_UP_JOBS });
    await worker.call('finished', { deadlineMs: DEADLINE_MS });
    await worker.call('expect', { first: WARM_UP_JOBS, count });
    await submitter.call('paced', { ...order, first: WARM_UP_JOBS, count });
    await worker.call('finished', { deadlineMs: DEADLINE_MS });
    await worker.call('stop');
    const checks = [await deliveryCheck(launched)];
    const sorted = (await worker.call('latenciesMs')).toSorted((left, right) => left - right);
    await submitter.call('close');
    return { jobs: count, p50Ms: percentile(sorted, 50), p95Ms: percentile(sorted, 95), maxMs: sorted.at(-1)!, checks };
  } finally {
    await launched.discard();
  }
}
