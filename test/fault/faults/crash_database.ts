import type { Fault } from '../fault.ts';

export const crashDatabase: Fault = {
  name: 'crash-database',
  does: 'PostgreSQL stops at once (immediate), and replays its log at the next start',
  target: 'database',
  lastsMs: [0, 6_000],
  weight: 1,
  inject: async (lab, { lastsMs }) => {
    await lab.database.stop('immediate');
    await lab.hold(lastsMs);
    await lab.database.start();
  },
};
