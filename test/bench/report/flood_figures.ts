import { totalCalls } from '../database/statement_log.ts';
import type { TableChurn } from '../database/table_churn.ts';
import type { ProcessUse } from '../measure/process_meter.ts';
import type { FloodKind, FloodResult } from '../scenarios/flood_run.ts';
import { spreads, type Figure } from './figure.ts';

type Results = Record<string, FloodResult[]>;

/** Fewer bytes than this a job are heartbeats and the like. */
const BYTES_SHOWN_MIN = 1;

/** jobs/s of a flood, and what a job cost in it. */
export function floodFigures(kind: FloodKind, results: Results): Figure[] {
  const speed: Figure = {
    id: `${kind}/jobs_per_second`,
    label: `${kind}: jobs/s`,
    digits: 0,
    heading: true,
    compared: true,
    values: spreads(results, ({ jobsPerSecond }) => jobsPerSecond),
  };
  return [speed, ...databaseFigures(kind, results), ...deadRowFigures(kind, results), ...processFigures(kind, results)];
}

function databaseFigures(kind: FloodKind, results: Results): Figure[] {
  const cost = (id: string, label: string, digits: number, of: (use: NonNullable<FloodResult['database']>) => number | undefined): Figure => ({
    id: `${kind}/${id}`,
    label: `  ${label}`,
    digits,
    values: spreads(results, ({ database, jobs }) => {
      const sum = database && of(database);
      return sum === undefined ? undefined : sum / jobs;
    }),
  });
  return [
    cost('statements_per_1000', 'statements per 1,000 jobs', 1, ({ statements }) => 1000 * totalCalls(statements)),
    cost('commits_per_1000', 'commits per 1,000 jobs', 1, ({ wal }) => 1000 * wal.commits),
    cost('wal_bytes', 'WAL bytes per job: records', 0, ({ wal }) => wal.bytes - wal.fullPageBytes),
    cost('full_page_bytes', 'WAL bytes per job: full pages', 0, ({ wal }) => wal.fullPageBytes),
    cost('cpu_postgresql', 'CPU µs per job: PostgreSQL', 1, ({ cpuMs }) => (cpuMs === undefined ? undefined : 1000 * cpuMs)),
  ];
}

/** Tables of ours that have a row for each job, but for `ready` and `lease`. */
const JOB_TABLES = new Set(['job', 'scheduled', 'outcome', 'attempt', 'progress'].map((table) => `skiplease.${table}`));

function deadRowFigures(kind: FloodKind, results: Results): Figure[] {
  const dead = (id: string, label: string, counts: (table: string) => boolean, hidden = true): Figure => ({
    id: `${kind}/${id}`,
    label: `  ${label}`,
    digits: 2,
    hidden,
    values: spreads(results, ({ churn, jobs, warmUpJobs }) => churn && deadIn(churn, counts) / (jobs + warmUpJobs)),
  });
  return [
    dead('dead_rows', 'dead rows per job', () => true, false),
    dead('dead_rows_ready', 'in ready', (table) => table === 'skiplease.ready'),
    dead('dead_rows_lease', 'in lease', (table) => table === 'skiplease.lease'),
    dead('dead_rows_elsewhere', 'in the other tables of jobs', (table) => JOB_TABLES.has(table)),
  ];
}

function deadIn(churn: TableChurn[], counts: (table: string) => boolean): number {
  return churn.filter(({ table }) => counts(table)).reduce((sum, { dead }) => sum + dead, 0);
}

function processFigures(kind: FloodKind, results: Results): Figure[] {
  const names = [...new Set(Object.values(results).flat().flatMap(({ processes }) => Object.keys(processes)))];
  const slug = (name: string) => name.toLowerCase().replaceAll(' ', '_');
  const perJob = (of: (use: ProcessUse) => number | undefined, name: string) =>
    spreads(results, ({ processes, jobs }) => {
      const used = processes[name] && of(processes[name]);
      return used === undefined ? undefined : used / jobs;
    });
  const cpu = names.map((name) => ({
    id: `${kind}/cpu_${slug(name)}`,
    label: `  CPU µs per job: ${name}`,
    digits: 1,
    values: perJob(({ cpuMs }) => cpuMs && 1000 * cpuMs, name),
  }));
  const bytes = names.flatMap((name) => [
    { id: `${kind}/sent_${slug(name)}`, label: `  bytes per job sent: ${name}`, digits: 0, values: perJob(({ bytesSent }) => bytesSent, name) },
    { id: `${kind}/received_${slug(name)}`, label: `  bytes per job received: ${name}`, digits: 0, values: perJob(({ bytesReceived }) => bytesReceived, name) },
  ]);
  const memory = names.map((name) => ({
    id: `${kind}/peak_mb_${slug(name)}`,
    label: `  MB resident at most: ${name}`,
    digits: 0,
    values: spreads(results, ({ processes }) => {
      const peak = processes[name]?.peakResidentBytes;
      return peak === undefined ? undefined : peak / 1e6;
    }),
  }));
  const worthShowing = ({ values }: Figure) => Object.values(values).some(({ median }) => median >= BYTES_SHOWN_MIN);
  return [...cpu, ...bytes.filter(worthShowing), ...memory].filter(({ values }) => Object.keys(values).length > 0);
}
