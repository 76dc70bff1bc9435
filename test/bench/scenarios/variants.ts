import { totalCalls } from '../database/statement_log.ts';
import type { ScenarioName } from '../options.ts';
import { ourFigure, ratioFigure, type Figure } from '../report/figure.ts';
import { listing } from '../report/statements_text.ts';
import type { ScenarioResult } from '../scenario.ts';
import { interleaved, jobsPerSecondText, roundsOf, type BenchContext } from './context.ts';
import { floodRun, type FloodPlan, type FloodResult } from './flood_run.ts';

const STATEMENTS_SHOWN = 4;

/** One way to run ours, to be compared with another. */
export interface Variant extends FloodPlan {
  name: string;
  /** Of its figures' ids. */
  slug: string;
}

/** Runs ours in two ways, in turn, and sets the first beside the second. */
export async function compareVariants(
  context: BenchContext,
  scenario: ScenarioName,
  usualRounds: number,
  pairs: [Variant, Variant][],
): Promise<ScenarioResult> {
  const { results, checks } = await interleaved(
    context,
    { label: scenario, rounds: roundsOf(context, usualRounds), subjects: pairs.flat() },
    (variant) => floodRun(context, variant),
    (result) => jobsPerSecondText(result),
  );
  const speeds = ({ name }: Variant) => results[name]!.map(({ jobsPerSecond }) => jobsPerSecond);
  const figures = pairs.flatMap(([special, plain]) => [
    ...[special, plain].flatMap((variant) => variantFigures(scenario, variant, results[variant.name]!)),
    ...ratioFigure(`${scenario}/${special.slug}_ratio`, `  ${special.name}, over ${plain.name}`, speeds(special), speeds(plain)),
  ]);
  const texts = pairs.flat().flatMap(({ name }) => {
    const statements = results[name]!.at(-1)?.database?.statements;
    return statements ? [listing(`${scenario}, ${name}`, statements, STATEMENTS_SHOWN).join('\n')] : [];
  });
  return { figures, texts, checks, raw: results };
}

function variantFigures(scenario: ScenarioName, { name, slug }: Variant, runs: FloodResult[]): Figure[] {
  const id = (what: string) => `${scenario}/${slug}_${what}`;
  const cpu = (process: string) => runs.map(({ processes, jobs }) => perJob(processes[process]?.cpuMs, jobs));
  return [
    ...ourFigure(id('jobs_per_second'), `${scenario}: jobs/s, ${name}`, 0, runs.map(({ jobsPerSecond }) => jobsPerSecond)).map(
      (figure) => ({ ...figure, heading: true }),
    ),
    ...ourFigure(id('statements_per_1000'), '  statements per 1,000 jobs', 1, runs.map(({ database, jobs }) => (1000 * totalCalls(database!.statements)) / jobs)),
    ...ourFigure(id('cpu_postgresql'), '  CPU µs per job: PostgreSQL', 1, runs.map(({ database, jobs }) => perJob(database!.cpuMs, jobs))),
    ...ourFigure(id('cpu_coordinator'), '  CPU µs per job: coordinator', 1, cpu('coordinator')),
    ...ourFigure(id('cpu_worker'), '  CPU µs per job: worker', 1, cpu('worker')),
    ...ourFigure(id('peak_mb_coordinator'), '  MB resident at most: coordinator', 0, runs.map(({ processes }) => megabytes(processes.coordinator?.peakResidentBytes))),
  ];
}

function perJob(cpuMs: number | undefined, jobs: number): number | undefined {
  return cpuMs === undefined ? undefined : (1000 * cpuMs) / jobs;
}

function megabytes(bytes: number | undefined): number | undefined {
  return bytes === undefined ? undefined : bytes / 1e6;
}
