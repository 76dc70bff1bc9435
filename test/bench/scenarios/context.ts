import type { Contestant } from '../contestant.ts';
import type { BenchServer } from '../database/server.ts';
import type { Options } from '../options.ts';
import { check, type Check } from '../report/checks.ts';

/** What every scenario is given. */
export interface BenchContext {
  server: BenchServer;
  /** Those that take part in the scenario. */
  contestants: Contestant[];
  options: Options;
  /** A line for whoever watches. */
  say(line: string): void;
}

/** What each subject's runs gave, by its name, and every check of every run. */
export interface Rounds<Result> {
  results: Record<string, Result[]>;
  checks: Check[];
}

/** How many rounds a scenario takes: as many as asked for, else one when it must be quick, else what it thinks right. */
export function roundsOf({ options }: BenchContext, usual: number): number {
  return options.rounds ?? (options.quick ? 1 : usual);
}

/**
 * Calls `run` for each round and each subject in turn (A B C A B C …), so that a slow minute of the machine hits them
 * all. A run that throws is a failed check, and the others go on.
 */
export async function interleaved<Subject extends { name: string }, Result extends { checks: Check[] }>(
  context: BenchContext,
  plan: { label: string; rounds: number; subjects: Subject[] },
  run: (subject: Subject) => Promise<Result>,
  summarise: (result: Result) => string,
): Promise<Rounds<Result>> {
  const { label, rounds, subjects } = plan;
  const results: Record<string, Result[]> = Object.fromEntries(subjects.map(({ name }) => [name, []]));
  const checks: Check[] = [];
  for (let round = 1; round <= rounds; round += 1) {
    for (const subject of subjects) {
      const of = `${label} of ${subject.name}`;
      const heading = `${label.padEnd(16)}  round ${round}/${rounds}  ${subject.name.padEnd(16)}`;
      try {
        const result = await run(subject);
        results[subject.name]!.push(result);
        checks.push(...result.checks.map((one) => ({ ...one, name: `${of}: ${one.name}` })));
        context.say(`${heading} ${summarise(result)}`);
      } catch (error) {
        const detail = error instanceof Error ? (error.stack ?? error.message) : String(error);
        checks.push(check(`${of}: the run ends`, false, detail));
        context.say(`${heading} failed: ${detail}`);
      }
    }
  }
  return { results, checks };
}

/** For the line of one run. */
export function jobsPerSecondText({ jobsPerSecond }: { jobsPerSecond: number }): string {
  return `${Math.round(jobsPerSecond).toLocaleString('en-US')} jobs/s`;
}
