import type { Scenario } from '../scenario.ts';
import { launchSkiplease } from '../skiplease/contestant.ts';
import { compareVariants, type Variant } from './variants.ts';

const LEVELS = 10;
const ROUNDS = 5;

/** A drain of jobs of all ten priorities, mixed as they come, against one of a single priority. */
export const priorities: Scenario = {
  name: 'priorities',
  run(context) {
    const variant = (levels: number, slug: string): Variant => ({
      name: levels === 1 ? 'one priority' : `${levels} priorities`,
      slug,
      kind: 'drain',
      jobs: context.options.jobs,
      launch: () => launchSkiplease(context.server, { mode: 'flood', priorities: levels }),
    });
    return compareVariants(context, 'priorities', ROUNDS, [[variant(LEVELS, 'many'), variant(1, 'one')]]);
  },
};
