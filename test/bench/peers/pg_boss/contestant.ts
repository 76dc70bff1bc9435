import { join } from 'node:path';
import { type Contestant, launchOnPostgres, launchRoles } from '../../contestant.ts';
import { withAdmin } from '../../database/server.ts';
import { CALLS_IN_FLIGHT, JOBS_PER_CALL } from '../preset.ts';
import { peerVersion } from '../install.ts';
import { BATCH_JOBS, LOOPS } from './preset.ts';

const flood =
  `${LOOPS} loops of fetch(batchSize ${BATCH_JOBS}) and complete(ids); ` +
  `insert of ${JOBS_PER_CALL}, ${CALLS_IN_FLIGHT} calls in flight`;

/** pg-boss, through its batch calls. */
export const pgBoss: Contestant = {
  name: 'pg-boss',
  part: 'peer',
  store: 'PostgreSQL',
  describe: () => ({
    version: peerVersion('pg-boss'),
    presets: { flood },
    outcomes: 'kept',
  }),
  launch: (server, mode) =>
    launchOnPostgres(
      server,
      'pg-boss',
      ({ contestantUrl }) =>
        launchRoles(
          { submitter: join(import.meta.dirname, 'submitter.ts'), worker: join(import.meta.dirname, 'worker.ts') },
          { url: contestantUrl, mode },
        ),
      async (database) => {
        const { rows } = await withAdmin(database, (client) =>
          client.query<{ unfinished: number; succeeded: number }>(
            `SELECT count(*) FILTER (WHERE state <> 'completed')::int AS unfinished,
                    count(*) FILTER (WHERE state = 'completed')::int AS succeeded
               FROM pgboss.job WHERE name = 'bench'`,
          ),
        );
        return rows[0]!;
      },
    ),
};
