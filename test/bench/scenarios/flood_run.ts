import type { Launched } from '../contestant.ts';
import { startMeter, type DatabaseUse } from '../database/meter.ts';
import { withAdmin } from '../database/server.ts';
import { readTableChurn, type TableChurn } from '../database/table_churn.ts';
import { startProcessMeter, type ProcessUse } from '../measure/process_meter.ts';
import type { Check } from '../report/checks.ts';
import type { BenchContext } from './context.ts';
import { auditCheck, deliveryCheck, drainStretch, endToEndStretch, submitStretch, warmUp } from './stretch.ts';

/** Which stretch of a flood is timed. */
export type FloodKind = 'submit' | 'drain' | 'end-to-end';

/** What is run. */
export interface FloodPlan {
  kind: FloodKind;
  launch(): Promise<Launched>;
  jobs: number;
  /** Jobs that are put into its database after the warm-up, and are still there at the end. */
  beside?: { jobs: number; fill(launched: Launched): Promise<void> };
}

/** One timed flood of one contestant. */
export interface FloodResult {
  jobs: number;
  durationMs: number;
  jobsPerSecond: number;
  /** `undefined` for a contestant that does not keep its jobs there. */
  database: DatabaseUse | undefined;
  /** Of each of the contestant's processes during the timed stretch. */
  processes: Record<string, ProcessUse>;
  /** Rows written by table, the warm-up's among them. */
  churn: TableChurn[] | undefined;
  warmUpJobs: number;
  checks: Check[];
}

/**
 * One run on an empty store: processes started, warmed up with a tenth of the jobs, then one stretch timed.
 *
 * - submit: no worker runs; until the last answer that says committed.
 * - drain: all jobs wait; from the worker's start until its last durable completion.
 * - end-to-end: the worker waits; from the first submit call until the last durable completion.
 */
export async function floodRun(context: BenchContext, plan: FloodPlan): Promise<FloodResult> {
  const launched = await plan.launch();
  const { jobs, kind } = plan;
  try {
    const { warmUpJobs, ...timed } = await timedRun(context, launched, plan);
    await launched.stop();
    const left = plan.beside?.jobs ?? 0;
    const audit = await auditCheck(
      launched,
      kind === 'submit'
        ? { unfinished: left + jobs, succeeded: warmUpJobs }
        : { unfinished: left, succeeded: warmUpJobs + jobs },
    );
    return {
      ...timed,
      jobs,
      jobsPerSecond: (jobs / timed.durationMs) * 1000,
      churn: launched.database && (await withAdmin(launched.database, readTableChurn)),
      warmUpJobs,
      checks: [...timed.checks, audit],
    };
  } finally {
    await launched.discard();
  }
}

type Timed = Pick<FloodResult, 'durationMs' | 'database' | 'processes' | 'checks' | 'warmUpJobs'>;

async function timedRun(context: BenchContext, launched: Launched, plan: FloodPlan): Promise<Timed> {
  const { kind, jobs: count, beside } = plan;
  const { submitter, worker, database } = launched;
  const warmUpJobs = await warmUp(context, launched, count);
  if (kind !== 'end-to-end') await worker.call('stop');
  if (beside) await beside.fill(launched);
  const order = { first: warmUpJobs, count, payloadBytes: context.options.payloadBytes };
  await worker.call('expect', { first: warmUpJobs, count });
  if (kind === 'drain') {
    await submitter.call('submit', order);
    // What autovacuum would have done by then, for everyone. Not before an end-to-end run, when the tables are empty:
    // statistics that say so give graphile-worker a plan for its completions that does 400 jobs/s.
    if (database) await withAdmin(database, (client) => client.query('ANALYZE'));
  }
  // Checkpoints then do not fall into one contestant's run and miss another's.
  await context.server.admin.query('CHECKPOINT');

  const stopProcessMeter = await startProcessMeter(launched.processes);
  const stopMeter = database && (await startMeter(context.server.admin, database.name));
  const durationMs =
    kind === 'submit'
      ? await submitStretch(launched, order)
      : kind === 'drain'
        ? await drainStretch(launched, count)
        : await endToEndStretch(launched, order);
  const use = await stopMeter?.();
  const processes = await stopProcessMeter();

  const checks: Check[] = [];
  if (kind !== 'submit') {
    await worker.call('stop');
    checks.push(await deliveryCheck(launched));
  }
  await submitter.call('close');
  return { durationMs, database: use, processes, checks, warmUpJobs };
}
