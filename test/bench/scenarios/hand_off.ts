import { startMeter, type DatabaseUse } from '../database/meter.ts';
import { jobInserts, type JobInserts } from '../database/row_counts.ts';
import { totalCalls } from '../database/statement_log.ts';
import { walPosition } from '../database/write_ahead_log.ts';
import { percentile } from '../measure/statistics.ts';
import type { Check } from '../report/checks.ts';
import { ourFigure, type Figure } from '../report/figure.ts';
import type { Scenario } from '../scenario.ts';
import { skiplease } from '../skiplease/contestant.ts';
import { interleaved, roundsOf, type BenchContext } from './context.ts';
import { auditCheck, deadlineOf, deliveryCheck, warmUp } from './stretch.ts';

const ROUNDS = 3;

/** How jobs come to a worker that waits. */
interface Pace {
  name: string;
  slug: string;
  together: number;
  intervalMs: number;
  jobs: number;
}

interface HandOffResult {
  jobs: number;
  inserts: JobInserts;
  database: DatabaseUse;
  p50Ms: number;
  p95Ms: number;
  checks: Check[];
}

/** Submitted to a worker that waits, slower than it could take them: does a job go straight into a lease, and what does it cost? */
export const handOff: Scenario = {
  name: 'hand-off',
  async run(context) {
    const share = context.options.quick ? 0.1 : 1;
    const paces: Pace[] = [
      { name: '100 each 10 ms', slug: 'steady', together: 100, intervalMs: 10, jobs: 30_000 * share },
      { name: '1,000 each 100 ms', slug: 'bursts', together: 1_000, intervalMs: 100, jobs: 30_000 * share },
    ];
    const { results, checks } = await interleaved(
      context,
      { label: 'hand-off', rounds: roundsOf(context, ROUNDS), subjects: paces },
      (pace) => pacedRun(context, pace),
      ({ inserts, jobs, p50Ms }) => `${((100 * inserts.ready) / jobs).toFixed(1)}% through ready, p50 ${p50Ms.toFixed(1)} ms`,
    );
    return { figures: paces.flatMap((pace) => paceFigures(pace, results[pace.name]!)), texts: [], checks, raw: results };
  },
};

function paceFigures({ name, slug }: Pace, runs: HandOffResult[]): Figure[] {
  const line = (what: string, label: string, digits: number, of: (run: HandOffResult) => number) =>
    ourFigure(`hand-off/${slug}_${what}`, label, digits, runs.map(of));
  return [
    ...line('wal_bytes', `hand-off: WAL bytes per job, ${name}`, 0, ({ database: { wal }, jobs }) => (wal.bytes - wal.fullPageBytes) / jobs).map(
      (figure) => ({ ...figure, heading: true }),
    ),
    ...line('ready_percent', '  % of the jobs that went through ready', 1, ({ inserts, jobs }) => (100 * inserts.ready) / jobs),
    ...line('statements_per_1000', '  statements per 1,000 jobs', 1, ({ database, jobs }) => (1000 * totalCalls(database.statements)) / jobs),
    ...line('commits_per_1000', '  commits per 1,000 jobs', 1, ({ database, jobs }) => (1000 * database.wal.commits) / jobs),
    ...line('p50_ms', '  ms from submit to handler, p50', 2, ({ p50Ms }) => p50Ms),
    ...line('p95_ms', '  p95', 2, ({ p95Ms }) => p95Ms),
  ];
}

async function pacedRun(context: BenchContext, { together, intervalMs, jobs }: Pace): Promise<HandOffResult> {
  const { server, options } = context;
  const launched = await skiplease.launch(server, 'flood');
  try {
    const { submitter, worker, database } = launched;
    const warmUpJobs = await warmUp(context, launched, jobs);
    await server.admin.query('CHECKPOINT');
    await worker.call('expect', { first: warmUpJobs, count: jobs });
    const from = await walPosition(server.admin);
    const stopMeter = await startMeter(server.admin, database!.name);
    await submitter.call('paced', { first: warmUpJobs, count: jobs, payloadBytes: options.payloadBytes, intervalMs, together });
    await worker.call('finished', { deadlineMs: deadlineOf(jobs) });
    const use = await stopMeter();
    const to = await walPosition(server.admin);
    await worker.call('stop');
    const delivery = await deliveryCheck(launched);
    const sorted = (await worker.call('latenciesMs')).toSorted((left, right) => left - right);
    const inserts = await jobInserts(server.admin, database!, [from, to]);
    await submitter.call('close');
    await launched.stop();
    const audit = await auditCheck(launched, { unfinished: 0, succeeded: warmUpJobs + jobs });
    return {
      jobs,
      inserts,
      database: use,
      p50Ms: percentile(sorted, 50),
      p95Ms: percentile(sorted, 95),
      checks: [delivery, audit],
    };
  } finally {
    await launched.discard();
  }
}
