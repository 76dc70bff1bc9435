import { join } from 'node:path';
import { type Contestant, launchOnPostgres, type Roles } from '../contestant.ts';
import { withAdmin } from '../database/server.ts';
import type { Connection, SubmitterMethods, WorkerMethods } from '../roles/methods.ts';
import { RoleProcess } from '../roles/role_process.ts';
import { BATCH_JOBS, CLAIM_CONNECTIONS, INSERT_CONNECTIONS } from './preset.ts';

/**
 * The ceiling: one process that does the same durable work in this project's tables with plain statements, and nothing
 * else: no gRPC, no sessions, no fencing, no retries. What it reaches is what PostgreSQL can do here.
 */
export const plainSql: Contestant = {
  name: 'plain-sql',
  part: 'ceiling',
  store: 'PostgreSQL',
  describe: () => ({
    version: 'the tables of skiplease',
    presets: {
      flood:
        `one process; ${INSERT_CONNECTIONS} connections insert ${BATCH_JOBS} at a time, ` +
        `${CLAIM_CONNECTIONS} claim and complete ${BATCH_JOBS} at a time`,
    },
    outcomes: 'kept',
  }),
  launch: (server, mode) =>
    launchOnPostgres(
      server,
      'plain-sql',
      ({ contestantUrl }) => launchOneProcess({ url: contestantUrl, mode }),
      async (database) => {
        const { rows } = await withAdmin(database, (client) =>
          client.query<{ unfinished: number; succeeded: number }>(
            `SELECT ((SELECT count(*) FROM skiplease.job) - (SELECT count(*) FROM skiplease.outcome))::int AS unfinished,
                    (SELECT count(*) FROM skiplease.outcome)::int AS succeeded`,
          ),
        );
        return rows[0]!;
      },
    ),
};

async function launchOneProcess(connection: Connection): Promise<Roles> {
  const both = new RoleProcess<SubmitterMethods & WorkerMethods>('the one process', join(import.meta.dirname, 'process.ts'));
  try {
    await both.call('open', connection);
  } catch (error) {
    await both.stop();
    throw error;
  }
  return {
    submitter: both as unknown as RoleProcess<SubmitterMethods>,
    worker: both as unknown as RoleProcess<WorkerMethods>,
    processes: [both],
    stop: () => both.stop(),
  };
}
