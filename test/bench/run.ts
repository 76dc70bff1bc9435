import { BARS } from './bars/bars.ts';
import { compareWithBars, contestantsByScenario, type Compared } from './bars/compare.ts';
import { wanted } from './bars/text.ts';
import { SCENARIOS, type Options, type ScenarioName } from './options.ts';
import { check, type Check } from './report/checks.ts';
import type { Figure } from './report/figure.ts';
import type { BenchContext } from './scenarios/context.ts';
import { ALL_SCENARIOS } from './scenarios/index.ts';

/** Everything that the scenarios gave. */
export interface BenchResults {
  figures: Figure[];
  /** What does not fit into a table, for people. */
  texts: string[];
  checks: Check[];
  /** Empty unless the bars were asked for. */
  bars: Compared[];
  /** Every run as it was measured, for the JSON file. */
  raw: Partial<Record<ScenarioName, unknown>>;
}

/** Runs the scenarios that were asked for, one after the other. One that throws is a failed check, and the others go on. */
export async function runScenarios(context: BenchContext): Promise<BenchResults> {
  const results: BenchResults = { figures: [], texts: [], checks: [], bars: [], raw: {} };
  const { options } = context;
  for (const name of scenariosOf(options)) {
    const contestants = contestantsOf(context, name);
    // Most scenarios are about ours alone.
    if (contestants.every(({ part }) => part !== 'ours') && !WITHOUT_OURS.has(name)) {
      context.say(`${name} is left out: it is about skiplease`);
      continue;
    }
    try {
      const { figures, texts, checks, raw } = await ALL_SCENARIOS[name].run({ ...context, contestants });
      results.figures.push(...figures);
      results.texts.push(...texts);
      results.checks.push(...checks);
      results.raw[name] = raw;
    } catch (error) {
      const detail = error instanceof Error ? (error.stack ?? error.message) : String(error);
      context.say(`${name} failed: ${detail}`);
      results.checks.push(check(`${name}: runs to its end`, false, detail));
    }
  }
  if (options.check) {
    results.bars = compareWithBars(BARS, results.figures);
    results.checks.push(...results.bars.filter(({ verdict }) => verdict !== 'not measured').map(asCheck));
  }
  return results;
}

/** The scenarios that peers alone can be run through. */
const WITHOUT_OURS = new Set<ScenarioName>(['submit', 'drain', 'end-to-end', 'latency', 'snapshot']);

function scenariosOf({ scenarios, check: withBars }: Options): ScenarioName[] {
  if (scenarios.length > 0) return scenarios;
  const needed = contestantsByScenario(BARS);
  return withBars ? SCENARIOS.filter((name) => needed.has(name)) : [...SCENARIOS];
}

/** For the bars, only whom they speak of: the others' time is better spent on them. */
function contestantsOf({ contestants, options }: BenchContext, scenario: ScenarioName) {
  const needed = options.check ? contestantsByScenario(BARS).get(scenario) : undefined;
  return needed ? contestants.filter(({ name }) => needed.has(name)) : contestants;
}

function asCheck({ bar, measured, verdict }: Compared): Check {
  return check(`bar: ${bar.about}`, verdict === 'met', `${measured!.toPrecision(3)}, wanted: ${wanted(bar)}`);
}
