import type { Launched } from '../contestant.ts';
import { needDisk } from '../database/disk.ts';
import { withAdmin } from '../database/server.ts';
import type { Scenario } from '../scenario.ts';
import { launchSkiplease } from '../skiplease/contestant.ts';
import { fillScheduled } from '../skiplease/fill.ts';
import { FIRST_BESIDE } from '../skiplease/preset.ts';
import { BYTES_PER_FILLED_JOB } from './backlog.ts';
import { compareVariants, type Variant } from './variants.ts';

const SCHEDULED = 1_000_000;
const SCHEDULED_QUICK = 20_000;
const ROUNDS = 2;

/** A drain with a million jobs scheduled for tomorrow, against one without. */
export const scheduled: Scenario = {
  name: 'scheduled',
  async run(context) {
    const { server, options, say } = context;
    const count = options.quick ? SCHEDULED_QUICK : SCHEDULED;
    await needDisk(server.admin, 'scheduled', count * BYTES_PER_FILLED_JOB, say);
    const fill = ({ database }: Launched) =>
      withAdmin(database!, async (client) => {
        await fillScheduled(client, { first: FIRST_BESIDE, count, payloadBytes: options.payloadBytes });
        await client.query('VACUUM (ANALYZE)');
      });
    const plain: Variant = {
      name: 'nothing scheduled',
      slug: 'plain',
      kind: 'drain',
      jobs: options.jobs,
      launch: () => launchSkiplease(server, { mode: 'flood' }),
    };
    const beside = { jobs: count, fill };
    return compareVariants(context, 'scheduled', ROUNDS, [
      [{ ...plain, name: `${count.toLocaleString('en-US')} scheduled`, slug: 'beside', beside }, plain],
    ]);
  },
};
