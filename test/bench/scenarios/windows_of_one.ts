import type { Scenario } from '../scenario.ts';
import { launchSkiplease } from '../skiplease/contestant.ts';
import { compareVariants, type Variant } from './variants.ts';

const WORKERS = 1_000;
const WORKERS_QUICK = 50;
const ROUNDS = 3;

/** A drain by 1,000 workers that hold one job each, against one worker that holds 1,000. */
export const windowsOfOne: Scenario = {
  name: 'windows-of-one',
  run(context) {
    const { jobs, quick } = context.options;
    const many = quick ? WORKERS_QUICK : WORKERS;
    const variant = (workers: number, windowJobs: number, slug: string): Variant => ({
      name: `${workers.toLocaleString('en-US')} × a window of ${windowJobs.toLocaleString('en-US')}`,
      slug,
      kind: 'drain',
      jobs,
      launch: () => launchSkiplease(context.server, { mode: 'flood', workers, windowJobs }),
    });
    return compareVariants(context, 'windows-of-one', ROUNDS, [[variant(many, 1, 'many'), variant(1, many, 'one')]]);
  },
};
