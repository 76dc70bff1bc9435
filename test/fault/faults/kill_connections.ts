import type { Fault } from '../fault.ts';

/** Each connection dies with this chance. */
const SHARE = 0.5;

export const killConnections: Fault = {
  name: 'kill-connections',
  does: 'pg_terminate_backend of about half of all connections',
  target: 'database',
  lastsMs: [0, 0],
  weight: 3,
  inject: async ({ database }, _strike, random) => {
    await database.session(async (client) => {
      const { rows } = await client.query<{ pid: number }>(
        `select pid from pg_stat_activity where backend_type = 'client backend' and pid <> pg_backend_pid() order by pid`);
      const doomed = rows.map(({ pid }) => pid).filter(() => random.chance(SHARE));
      await client.query('select pg_terminate_backend(pid) from unnest($1::int[]) pid', [doomed]);
    });
  },
};
