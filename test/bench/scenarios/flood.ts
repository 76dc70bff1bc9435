import { renderChurn } from '../report/churn_text.ts';
import { floodFigures } from '../report/flood_figures.ts';
import type { Scenario } from '../scenario.ts';
import { interleaved, jobsPerSecondText, roundsOf } from './context.ts';
import { floodRun, type FloodKind } from './flood_run.ts';

const ROUNDS = 5;
/** Enough for a median where many bars are to be measured in a bounded time. */
const ROUNDS_OF_CHECK = 3;

/** As many jobs as possible, every contestant in turn. */
export function floodScenario(kind: FloodKind): Scenario {
  return {
    name: kind,
    async run(context) {
      const { contestants, options, server } = context;
      const rounds = roundsOf(context, options.check ? ROUNDS_OF_CHECK : ROUNDS);
      const { results, checks } = await interleaved(
        context,
        { label: kind, rounds, subjects: contestants },
        (contestant) => floodRun(context, { kind, jobs: options.jobs, launch: () => contestant.launch(server, 'flood') }),
        (result) => jobsPerSecondText(result),
      );
      return { figures: floodFigures(kind, results), texts: [renderChurn(kind, results)], checks, raw: results };
    },
  };
}
