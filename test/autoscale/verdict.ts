import type { Scenario } from './scenario.ts';
import type { Run } from './simulation.ts';

/** What did not hold; empty: all did. */
export function problemsOf(run: Run, { waves }: Pick<Scenario, 'waves'>): string[] {
  const bursts = waves.filter(({ overSeconds }) => overSeconds === 0).length;
  const killed = run.endings.filter(({ code }) => code !== 0).map(({ workerId, code }) => `${workerId} (${code ?? 'killed'})`);
  return [
    run.succeeded === run.jobs ? '' : `${run.jobs - run.succeeded} of ${run.jobs} jobs did not succeed at their first attempt`,
    run.doneSeconds < run.points.at(-1)!.atSeconds ? '' : 'the backlog was not cleared',
    run.spent === 0 ? '' : `${run.spent} attempts were spent`,
    run.repeated === 0 ? '' : `${run.repeated} jobs were worked on to their end more than once`,
    killed.length === 0 ? '' : `did not end in peace within their grace: ${killed.join(', ')}`,
    // Each burst may send them up once, and down once.
    run.turns < 2 * bursts ? '' : `the replicas turned ${run.turns} times for ${bursts} bursts`,
  ].filter((problem) => problem !== '');
}

/** The run in a few lines. */
export function describeRun({ points, endings, jobs, succeeded, turns, doneSeconds }: Run): string {
  const most = Math.max(...points.map(({ replicas }) => replicas));
  const slowest = Math.max(0, ...endings.map(({ tookMs }) => tookMs));
  return [
    `${succeeded} of ${jobs} jobs succeeded, at their first attempt; the last backlog was cleared at ${Math.round(doneSeconds)} s`,
    `up to ${most} workers; ${turns + 1} phases of going up or down; ${endings.length} workers stopped, each within ${Math.round(slowest)} ms`,
  ].join('\n');
}
