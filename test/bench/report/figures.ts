import type { Contestant } from '../contestant.ts';
import { totalCalls } from '../database/statement_log.ts';
import { spread, type Spread } from '../measure/statistics.ts';
import type { FloodKind, FloodResult } from '../scenarios/flood_run.ts';
import type { LatencyResult } from '../scenarios/latency.ts';

/** One line of the table: a figure of each contestant. */
export interface Figure {
  label: string;
  /** Digits after the point. */
  digits: number;
  /** Whether ours over theirs says something. */
  compared: boolean;
  /** Begins a group of lines. */
  heading: boolean;
  values: Map<Contestant, Spread>;
}

/** jobs/s of a flood, and what a job cost in it. */
export function floodFigures(kind: FloodKind, results: Map<Contestant, FloodResult[]>): Figure[] {
  const cost = (label: string, digits: number, of: (result: FloodResult) => number | undefined): Figure => ({
    label: `  ${label}`,
    digits,
    heading: false,
    compared: false,
    values: spreads(results, of),
  });
  const processes = [...new Set([...results.values()].flat().flatMap(({ cpuMs }) => Object.keys(cpuMs)))];
  return [
    {
      label: `${kind}: jobs/s`,
      digits: 0,
      heading: true,
      compared: true,
      values: spreads(results, ({ jobsPerSecond }) => jobsPerSecond),
    },
    cost('statements per 1,000 jobs', 1, ({ database, jobs }) => (1000 * totalCalls(database.statements)) / jobs),
    cost('commits per 1,000 jobs', 1, ({ database, jobs }) => (1000 * database.wal.commits) / jobs),
    cost('WAL bytes per job: records', 0, ({ database: { wal }, jobs }) => (wal.bytes - wal.fullPageBytes) / jobs),
    cost('WAL bytes per job: full pages', 0, ({ database: { wal }, jobs }) => wal.fullPageBytes / jobs),
    cost('dead rows per job', 2, ({ churn, jobs, warmUpJobs }) => sumOfDead(churn) / (jobs + warmUpJobs)),
    cost('CPU µs per job: PostgreSQL', 1, ({ database, jobs }) => perJobMicros(database.cpuMs, jobs)),
    ...processes.map((name) =>
      cost(`CPU µs per job: ${name}`, 1, ({ cpuMs, jobs }) => perJobMicros(cpuMs[name], jobs)),
    ),
  ];
}

/** Milliseconds from the submit call to the handler's start. */
export function latencyFigures(results: Map<Contestant, LatencyResult[]>): Figure[] {
  const shared = { digits: 2, compared: true };
  return [
    { ...shared, label: 'latency: ms, p50', heading: true, values: spreads(results, ({ p50Ms }) => p50Ms) },
    { ...shared, label: '  p95', heading: false, values: spreads(results, ({ p95Ms }) => p95Ms) },
  ];
}

function spreads<Result>(
  results: Map<Contestant, Result[]>,
  of: (result: Result) => number | undefined,
): Map<Contestant, Spread> {
  const values = new Map<Contestant, Spread>();
  for (const [contestant, runs] of results) {
    const samples = runs.map(of).filter((value) => value !== undefined);
    if (samples.length > 0) values.set(contestant, spread(samples));
  }
  return values;
}

function sumOfDead(churn: FloodResult['churn']): number {
  return churn.reduce((sum, { dead }) => sum + dead, 0);
}

function perJobMicros(cpuMs: number | undefined, jobs: number): number | undefined {
  return cpuMs === undefined ? undefined : (1000 * cpuMs) / jobs;
}
