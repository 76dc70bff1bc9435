import { join } from 'node:path';
import { type Contestant, launchOnPostgres, launchRoles } from '../../contestant.ts';
import { withAdmin } from '../../database/server.ts';
import { CALLS_IN_FLIGHT, JOBS_PER_CALL } from '../preset.ts';
import { peerVersion } from '../install.ts';
import { PRESET } from './preset.ts';

/** graphile-worker, with the fastest configuration of its own performance page. */
export const graphileWorker: Contestant = {
  name: 'graphile-worker',
  part: 'peer',
  store: 'PostgreSQL',
  describe: () => ({
    version: peerVersion('graphile-worker'),
    presets: {
      flood: `${JSON.stringify(PRESET)}; addJobs of ${JOBS_PER_CALL}, ${CALLS_IN_FLIGHT} calls in flight`,
      trickle: `${JSON.stringify(PRESET)}; addJob`,
    },
    outcomes: 'forgotten: a job that is done is deleted',
  }),
  launch: (server, mode) =>
    launchOnPostgres(
      server,
      'graphile-worker',
      ({ contestantUrl }) =>
        launchRoles(
          {
            submitter: join(import.meta.dirname, 'submitter.ts'),
            worker: join(import.meta.dirname, 'worker.ts'),
            // Its own switch against one log line a job.
            environment: { NO_LOG_SUCCESS: '1' },
          },
          { url: contestantUrl, mode },
        ),
      async (database) => {
        const { rows } = await withAdmin(database, (client) =>
          client.query<{ count: number }>('SELECT count(*)::int AS count FROM graphile_worker._private_jobs'),
        );
        return { unfinished: rows[0]!.count, succeeded: undefined };
      },
    ),
};
