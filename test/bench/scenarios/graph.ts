import type { Scenario } from '../scenario.ts';
import { launchSkiplease } from '../skiplease/contestant.ts';
import { compareVariants, type Variant } from './variants.ts';

/** As many as one request submits. */
const LAYER_JOBS = 1_000;
const ROUNDS = 2;

/** A graph of jobs in layers of a thousand, each waiting for two of the layer before, run to its end; against as many plain jobs. */
export const graph: Scenario = {
  name: 'graph',
  run(context) {
    const { jobs } = context.options;
    const variant = (name: string, slug: string, layerJobs: number): Variant => ({
      name, slug, kind: 'drain', jobs, launch: () => launchSkiplease(context.server, { mode: 'flood', layerJobs }),
    });
    return compareVariants(context, 'graph', ROUNDS, [[variant('a graph', 'layered', LAYER_JOBS), variant('plain jobs', 'plain', 0)]]);
  },
};
