import type { Contestant } from './contestant.ts';
import type { Options } from './options.ts';
import type { Check } from './report/checks.ts';
import { renderChurn } from './report/churn_text.ts';
import { floodFigures, latencyFigures, type Figure } from './report/figures.ts';
import { renderStatements } from './report/statements_text.ts';
import type { BenchContext } from './scenarios/context.ts';
import { runFlood } from './scenarios/flood.ts';
import { runLatency } from './scenarios/latency.ts';
import { runStatements } from './scenarios/statements.ts';

/** Everything that the scenarios gave. */
export interface BenchResults {
  figures: Figure[];
  /** What does not fit into a table, for people. */
  texts: string[];
  checks: Check[];
  /** Every run as it was measured, for the JSON file. */
  raw: Record<string, unknown>;
}

/** Runs the scenarios that were asked for, in that order. */
export async function runScenarios(context: BenchContext, options: Options): Promise<BenchResults> {
  const results: BenchResults = { figures: [], texts: [], checks: [], raw: {} };
  for (const scenario of options.scenarios) {
    if (scenario === 'statements') {
      const result = await runStatements(context);
      results.texts.push(renderStatements(result));
      results.checks.push(...result.checks);
      results.raw[scenario] = result;
    } else if (scenario === 'latency') {
      const rounds = await runLatency(context);
      results.figures.push(...latencyFigures(rounds.results));
      results.checks.push(...rounds.checks);
      results.raw[scenario] = byName(rounds.results);
    } else {
      const rounds = await runFlood(context, scenario);
      results.figures.push(...floodFigures(scenario, rounds.results));
      results.texts.push(renderChurn(scenario, rounds.results));
      results.checks.push(...rounds.checks);
      results.raw[scenario] = byName(rounds.results);
    }
  }
  return results;
}

function byName<Result>(results: Map<Contestant, Result[]>): Record<string, Result[]> {
  return Object.fromEntries([...results].map(([{ name }, runs]) => [name, runs]));
}
