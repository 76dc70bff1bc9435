import type { Launched } from '../contestant.ts';
import type { Scenario } from '../scenario.ts';
import { launchSkiplease, type Layout } from '../skiplease/contestant.ts';
import { FIRST_BESIDE } from '../skiplease/preset.ts';
import { compareVariants, type Variant } from './variants.ts';

const ROUNDS = 3;

/**
 * A drain of jobs that have a serial key each, as many keys as jobs, against one of plain jobs; and plain jobs with as many
 * others waiting beside them in another queue, two to a key, against plain jobs alone.
 */
export const serialKeys: Scenario = {
  name: 'serial-keys',
  run(context) {
    const { jobs, payloadBytes } = context.options;
    const variant = (name: string, slug: string, keys: Pick<Layout, 'serialKeys' | 'besideKeys'>): Variant => ({
      name, slug, kind: 'drain', jobs, launch: () => launchSkiplease(context.server, { mode: 'flood', ...keys }),
    });
    const fill = async ({ submitter }: Launched) => {
      await submitter.call('submit', { first: FIRST_BESIDE, count: jobs, payloadBytes });
    };
    const keys = jobs.toLocaleString('en-US');
    return compareVariants(context, 'serial-keys', ROUNDS, [
      [variant(`${keys} keys`, 'many', { serialKeys: jobs }), variant('no keys', 'none', {})],
      [{ ...variant(`plain, ${keys} keyed jobs beside`, 'beside', { besideKeys: jobs / 2 }), beside: { jobs, fill } }, variant('plain, alone', 'alone', {})],
    ]);
  },
};
