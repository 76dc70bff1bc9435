import type { ScenarioName } from './options.ts';
import type { Check } from './report/checks.ts';
import type { Figure } from './report/figure.ts';
import type { BenchContext } from './scenarios/context.ts';

/** One thing that is measured. Each has a file of its own in `scenarios/`. */
export interface Scenario {
  readonly name: ScenarioName;
  run(context: BenchContext): Promise<ScenarioResult>;
}

/** What a scenario gave. */
export interface ScenarioResult {
  figures: Figure[];
  /** What does not fit into a table, for people. */
  texts: string[];
  checks: Check[];
  /** Every run as it was measured, for the JSON file. */
  raw: unknown;
}
