import type { Fault } from '../fault.ts';

const TABLES = ['job', 'ready', 'lease', 'outcome', 'scheduled', 'blocked', 'gate', 'coordinator', 'session', 'queue'] as const;

export const lockTable: Fault = {
  name: 'lock-table',
  does: 'a transaction holds a lock on a table that every statement needs, often past their time limit',
  target: 'database',
  lastsMs: [500, 8_000],
  weight: 3,
  inject: async (lab, { lastsMs }, random) => {
    const table = random.pick(TABLES);
    await lab.database.session(async (client) => {
      await client.query(`begin; lock table skiplease.${table} in access exclusive mode`);
      await lab.hold(lastsMs);
      await client.query('rollback');
    });
  },
};
