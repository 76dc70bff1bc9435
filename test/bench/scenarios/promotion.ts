import { needDisk } from '../database/disk.ts';
import { withAdmin } from '../database/server.ts';
import { percentile } from '../measure/statistics.ts';
import type { Check } from '../report/checks.ts';
import { ourFigure } from '../report/figure.ts';
import type { Scenario } from '../scenario.ts';
import { launchSkiplease } from '../skiplease/contestant.ts';
import { fillScheduled } from '../skiplease/fill.ts';
import { BYTES_PER_FILLED_JOB } from './backlog.ts';
import { interleaved, roundsOf, type BenchContext } from './context.ts';
import { TRICKLE_INTERVAL_MS } from './latency.ts';
import { deliveryCheck } from './stretch.ts';

const SCHEDULED = 1_000_000;
const SCHEDULED_QUICK = 20_000;
/** Far from the numbers of the jobs that come: one of these in a worker would be a stranger. */
const FIRST = 500_000_000;
/** How far ahead each job is scheduled. */
const DELAY_MS = 2_000;
const WARM_UP_JOBS = 50;
const JOBS = 1_000;
const JOBS_QUICK = 100;
const DEADLINE_MS = 30_000;
const ROUNDS = 1;

interface PromotionResult {
  jobs: number;
  p50Ms: number;
  p99Ms: number;
  maxMs: number;
  checks: Check[];
}

/** Jobs scheduled two seconds ahead, one each 20 ms, with a million others scheduled for tomorrow: from due to the handler's start. */
export const promotion: Scenario = {
  name: 'promotion',
  async run(context) {
    const count = context.options.quick ? SCHEDULED_QUICK : SCHEDULED;
    await needDisk(context.server.admin, 'promotion', count * BYTES_PER_FILLED_JOB, context.say);
    const { results, checks } = await interleaved(
      context,
      { label: 'promotion', rounds: roundsOf(context, ROUNDS), subjects: [{ name: `${count.toLocaleString('en-US')} scheduled` }] },
      () => promotionRun(context, count),
      ({ p50Ms, p99Ms, maxMs }) => `p50 ${p50Ms.toFixed(1)} ms, p99 ${p99Ms.toFixed(1)} ms, at most ${maxMs.toFixed(1)} ms`,
    );
    const runs = Object.values(results).flat();
    return {
      figures: [
        ...ourFigure('promotion/p50_ms', 'promotion: ms from due to handler, p50', 1, runs.map(({ p50Ms }) => p50Ms)).map((figure) => ({ ...figure, heading: true })),
        ...ourFigure('promotion/p99_ms', '  p99', 1, runs.map(({ p99Ms }) => p99Ms)),
        ...ourFigure('promotion/max_ms', '  at most', 1, runs.map(({ maxMs }) => maxMs)),
      ],
      texts: [],
      checks,
      raw: results,
    };
  },
};

async function promotionRun({ server, options }: BenchContext, scheduled: number): Promise<PromotionResult> {
  const jobs = options.quick ? JOBS_QUICK : JOBS;
  const launched = await launchSkiplease(server, { mode: 'trickle', delayMs: DELAY_MS });
  try {
    const { submitter, worker } = launched;
    const order = { payloadBytes: options.payloadBytes, intervalMs: TRICKLE_INTERVAL_MS, together: 1 };
    await worker.call('expect', { first: 0, count: WARM_UP_JOBS });
    await worker.call('start');
    await submitter.call('paced', { ...order, first: 0, count: WARM_UP_JOBS });
    await worker.call('finished', { deadlineMs: DEADLINE_MS });
    await withAdmin(launched.database!, async (client) => {
      await fillScheduled(client, { first: FIRST, count: scheduled, payloadBytes: options.payloadBytes });
      await client.query('VACUUM (ANALYZE)');
    });
    await server.admin.query('CHECKPOINT');
    await worker.call('expect', { first: WARM_UP_JOBS, count: jobs });
    await submitter.call('paced', { ...order, first: WARM_UP_JOBS, count: jobs });
    await worker.call('finished', { deadlineMs: DEADLINE_MS });
    await worker.call('stop');
    const checks = [await deliveryCheck(launched)];
    const sorted = (await worker.call('latenciesMs')).toSorted((left, right) => left - right);
    await submitter.call('close');
    return { jobs, p50Ms: percentile(sorted, 50), p99Ms: percentile(sorted, 99), maxMs: sorted.at(-1)!, checks };
  } finally {
    await launched.discard();
  }
}
