import type { Contestant } from '../contestant.ts';
import type { BenchServer } from '../database/server.ts';
import type { Options } from '../options.ts';
import { check, type Check } from '../report/checks.ts';

/** What every scenario is given. */
export interface BenchContext {
  server: BenchServer;
  contestants: Contestant[];
  options: Options;
  /** A line for whoever watches. */
  say(line: string): void;
}

/** What each contestant's runs gave, and every check of every run. */
export interface Rounds<Result> {
  results: Map<Contestant, Result[]>;
  checks: Check[];
}

/**
 * Calls `run` for each round and each contestant in turn (A B C A B C …), so that a slow minute of the machine hits
 * them all. A run that throws is a failed check, and the others go on.
 */
export async function interleaved<Result extends { checks: Check[] }>(
  context: BenchContext,
  label: string,
  contestants: Contestant[],
  run: (contestant: Contestant) => Promise<Result>,
  summarise: (result: Result) => string,
): Promise<Rounds<Result>> {
  const { rounds } = context.options;
  const results = new Map<Contestant, Result[]>(contestants.map((contestant) => [contestant, []]));
  const checks: Check[] = [];
  for (let round = 1; round <= rounds; round += 1) {
    for (const contestant of contestants) {
      const heading = `${label.padEnd(10)}  round ${round}/${rounds}  ${contestant.name.padEnd(16)}`;
      try {
        const result = await run(contestant);
        results.get(contestant)!.push(result);
        checks.push(...result.checks.map((one) => ({ ...one, name: `${label} of ${contestant.name}: ${one.name}` })));
        context.say(`${heading} ${summarise(result)}`);
      } catch (error) {
        const detail = error instanceof Error ? (error.stack ?? error.message) : String(error);
        checks.push(check(`${label} of ${contestant.name}: the run ends`, false, detail));
        context.say(`${heading} failed: ${detail}`);
      }
    }
  }
  return { results, checks };
}
