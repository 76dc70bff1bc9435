import type { Fault } from '../fault.ts';

export const restartDatabase: Fault = {
  name: 'restart-database',
  does: 'PostgreSQL stops (fast) and is started again',
  target: 'database',
  lastsMs: [0, 6_000],
  weight: 1,
  inject: async (lab, { lastsMs }) => {
    await lab.database.stop('fast');
    await lab.hold(lastsMs);
    await lab.database.start();
  },
};
