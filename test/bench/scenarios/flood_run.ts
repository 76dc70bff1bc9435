import type { Contestant, Launched } from '../contestant.ts';
import { startMeter, type DatabaseUse } from '../database/meter.ts';
import { withAdmin, type BenchDatabase } from '../database/server.ts';
import { readTableChurn, type TableChurn } from '../database/table_churn.ts';
import { isExact } from '../measure/tally.ts';
import { check, type Check } from '../report/checks.ts';
import type { BenchContext } from './context.ts';

/** Which stretch of a flood is timed. */
export type FloodKind = 'submit' | 'drain' | 'end-to-end';

/** One timed flood of one contestant. */
export interface FloodResult {
  jobs: number;
  durationMs: number;
  jobsPerSecond: number;
  database: DatabaseUse;
  /** CPU time of each of the contestant's processes during the timed stretch; `undefined` where it cannot be read. */
  cpuMs: Record<string, number | undefined>;
  /** Rows written by table, the warm-up's among them. */
  churn: TableChurn[];
  warmUpJobs: number;
  checks: Check[];
}

/** The slowest rate that is still waited for. */
const JOBS_PER_SECOND_MIN = 300;
const DEADLINE_MS_MIN = 30_000;
const WARM_UP_JOBS_MAX = 10_000;

/**
 * One run on an empty database: processes started, warmed up with a tenth of the jobs, then one stretch timed.
 *
 * - submit: no worker runs; until the last answer that says committed.
 * - drain: all jobs wait; from the worker's start until its last durable completion.
 * - end-to-end: the worker waits; from the first submit call until the last durable completion.
 */
export async function floodRun(context: BenchContext, contestant: Contestant, kind: FloodKind): Promise<FloodResult> {
  const { server } = context;
  const database = await server.createDatabase(contestant.name);
  try {
    const launched = await contestant.launch(database.contestantUrl, 'flood');
    const { timed, warmUpJobs } = await warmedUp(context, launched, database, kind).finally(() => launched.stop());
    const jobs = context.options.jobs;
    const { churn, checks } = await withAdmin(database, async (client) => ({
      churn: await readTableChurn(client),
      checks: [...timed.checks, auditCheck(contestant, kind, jobs, warmUpJobs, await contestant.audit(client))],
    }));
    return { ...timed, jobs, jobsPerSecond: (jobs / timed.durationMs) * 1000, churn, warmUpJobs, checks };
  } finally {
    await server.dropDatabase(database);
  }
}

type Timed = Pick<FloodResult, 'durationMs' | 'database' | 'cpuMs' | 'checks'>;

async function warmedUp(
  context: BenchContext,
  { submitter, worker, processes }: Launched,
  database: BenchDatabase,
  kind: FloodKind,
): Promise<{ timed: Timed; warmUpJobs: number }> {
  const { jobs: count, payloadBytes } = context.options;
  const warmUpJobs = Math.min(WARM_UP_JOBS_MAX, Math.ceil(count / 10));
  const deadlineMs = Math.max(DEADLINE_MS_MIN, (count / JOBS_PER_SECOND_MIN) * 1000);
  await worker.call('expect', { first: 0, count: warmUpJobs });
  await worker.call('start');
  await submitter.call('submit', { first: 0, count: warmUpJobs, payloadBytes });
  await worker.call('finished', { deadlineMs });
  if (kind !== 'end-to-end') await worker.call('stop');

  const flood = { first: warmUpJobs, count, payloadBytes };
  await worker.call('expect', { first: warmUpJobs, count });
  if (kind === 'drain') {
    await submitter.call('submit', flood);
    // What autovacuum would have done by then, for everyone. Not before an end-to-end run, when the tables are empty:
    // statistics that say so give graphile-worker a plan for its completions that does 400 jobs/s.
    await withAdmin(database, (client) => client.query('ANALYZE'));
  }
  // Checkpoints then do not fall into one contestant's run and miss another's.
  await context.server.admin.query('CHECKPOINT');

  const cpuBefore = await Promise.all(processes.map((process) => process.cpuMs()));
  const stopMeter = await startMeter(context.server.admin, database.name);
  const durationMs = await timedStretch();
  const use = await stopMeter();
  const cpuMs: FloodResult['cpuMs'] = {};
  for (const [index, process] of processes.entries()) {
    const [before, after] = [cpuBefore[index], await process.cpuMs()];
    cpuMs[process.name] = before === undefined || after === undefined ? undefined : after - before;
  }

  const checks: Check[] = [];
  if (kind !== 'submit') {
    // Stopped first, so that a job handed out twice would have been counted by now.
    await worker.call('stop');
    const delivery = await worker.call('delivery');
    checks.push(check('each job handled exactly once', isExact(delivery), JSON.stringify(delivery)));
  }
  await submitter.call('close');
  return { timed: { durationMs, database: use, cpuMs, checks }, warmUpJobs };

  async function timedStretch(): Promise<number> {
    if (kind === 'submit') {
      const { startMs, endMs } = await submitter.call('submit', flood);
      return endMs - startMs;
    }
    if (kind === 'drain') {
      const startMs = await worker.call('start');
      return (await worker.call('finished', { deadlineMs })) - startMs;
    }
    const [submitted, endMs] = await Promise.all([
      submitter.call('submit', flood),
      worker.call('finished', { deadlineMs }),
    ]);
    return Math.max(endMs, submitted.endMs) - submitted.startMs;
  }
}

function auditCheck(
  contestant: Contestant,
  kind: FloodKind,
  jobs: number,
  warmUpJobs: number,
  audit: Awaited<ReturnType<Contestant['audit']>>,
): Check {
  const unfinished = kind === 'submit' ? jobs : 0;
  const succeeded = warmUpJobs + (kind === 'submit' ? 0 : jobs);
  const passed = audit.unfinished === unfinished && (audit.succeeded === undefined || audit.succeeded === succeeded);
  const detail = `unfinished ${audit.unfinished} (expected ${unfinished}), succeeded ${audit.succeeded ?? 'not kept'}`;
  return check(`${contestant.name}'s own tables agree`, passed, `${detail} (expected ${succeeded})`);
}
