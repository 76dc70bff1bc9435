import type { Fault } from '../fault.ts';

export const failOver: Fault = {
  name: 'fail-over',
  does: 'PostgreSQL crashes, and a synchronous standby of it is promoted in its place, elsewhere',
  target: 'everything',
  // As long as it takes, mostly for the standby's copy: about so long.
  lastsMs: [6_000, 10_000],
  weight: 1,
  inject: async ({ database, databaseLinks }) => {
    await database.failOver();
    for (const link of databaseLinks) {
      link.aim(database.address);
      link.cut();
    }
  },
};
