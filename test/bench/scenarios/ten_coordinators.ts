import type { Scenario } from '../scenario.ts';
import { launchSkiplease } from '../skiplease/contestant.ts';
import { WINDOW_JOBS } from '../skiplease/preset.ts';
import { compareVariants, type Variant } from './variants.ts';

const COORDINATORS = 10;
const ROUNDS = 3;

/** A drain by ten coordinators on one database, each with a worker of its own, against the ten workers on one coordinator. */
export const tenCoordinators: Scenario = {
  name: 'ten-coordinators',
  run(context) {
    const variant = (coordinators: number, name: string, slug: string): Variant => ({
      name,
      slug,
      kind: 'drain',
      jobs: context.options.jobs,
      launch: () =>
        launchSkiplease(context.server, {
          mode: 'flood',
          coordinators,
          workers: COORDINATORS,
          windowJobs: WINDOW_JOBS.flood / COORDINATORS,
        }),
    });
    return compareVariants(context, 'ten-coordinators', ROUNDS, [
      [variant(COORDINATORS, 'ten coordinators', 'ten'), variant(1, 'one coordinator', 'one')],
    ]);
  },
};
