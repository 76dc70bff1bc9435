import type { Fault } from '../fault.ts';

/** For sessions that are open as for those that begin: a standby, a full disk or somebody's care does the same. */
export const readOnly: Fault = {
  name: 'read-only',
  does: 'the database takes no writes for a while (default_transaction_read_only)',
  target: 'database',
  lastsMs: [500, 8_000],
  weight: 2,
  inject: async (lab, { lastsMs }) => {
    await lab.database.session(async (client) => {
      const set = async (statement: string): Promise<void> => {
        await client.query(statement);
        await client.query('select pg_reload_conf()');
      };
      await set('alter system set default_transaction_read_only = on');
      await lab.hold(lastsMs);
      await set('alter system reset default_transaction_read_only');
    });
  },
};
