import type { Scenario } from '../scenario.ts';
import { launchSkiplease } from '../skiplease/contestant.ts';
import type { FloodKind } from './flood_run.ts';
import { compareVariants, type Variant } from './variants.ts';

/** As many as a worker may name. */
const QUEUES_MAX = 10_000;
const JOBS_PER_QUEUE = 10;
const ROUNDS = 3;

/** 10,000 queue names (a tenth of the jobs, when those are fewer), one worker serving all, against one queue. */
export const manyQueues: Scenario = {
  name: 'many-queues',
  run(context) {
    const { jobs } = context.options;
    const many = Math.min(QUEUES_MAX, Math.ceil(jobs / JOBS_PER_QUEUE));
    const variant = (kind: FloodKind, queues: number, slug: string): Variant => ({
      name: `${kind}, ${queues === 1 ? 'one queue' : `${queues.toLocaleString('en-US')} queues`}`,
      slug: `${kind.replaceAll('-', '_')}_${slug}`,
      kind,
      jobs,
      launch: () => launchSkiplease(context.server, { mode: 'flood', queues }),
    });
    return compareVariants(context, 'many-queues', ROUNDS, [
      [variant('drain', many, 'many'), variant('drain', 1, 'one')],
      [variant('end-to-end', many, 'many'), variant('end-to-end', 1, 'one')],
    ]);
  },
};
