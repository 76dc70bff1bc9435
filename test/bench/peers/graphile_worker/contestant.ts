import { join } from 'node:path';
import { type Contestant, launchRoles } from '../../contestant.ts';
import { CALLS_IN_FLIGHT, JOBS_PER_CALL } from '../chunks.ts';
import { peerVersion } from '../install.ts';
import { PRESET } from './preset.ts';

/** graphile-worker, with the fastest configuration of its own performance page. */
export const graphileWorker: Contestant = {
  name: 'graphile-worker',
  describe: () => ({
    version: peerVersion('graphile-worker'),
    presets: {
      flood: `${JSON.stringify(PRESET)}; addJobs of ${JOBS_PER_CALL}, ${CALLS_IN_FLIGHT} calls in flight`,
      trickle: `${JSON.stringify(PRESET)}; addJob`,
    },
    outcomes: 'forgotten: a job that is done is deleted',
  }),
  launch: (databaseUrl, mode) =>
    launchRoles(
      {
        submitter: join(import.meta.dirname, 'submitter.ts'),
        worker: join(import.meta.dirname, 'worker.ts'),
        // Its own switch against one log line a job.
        environment: { NO_LOG_SUCCESS: '1' },
      },
      { databaseUrl, mode },
    ),
  async audit(client) {
    const { rows } = await client.query<{ count: number }>(
      'SELECT count(*)::int AS count FROM graphile_worker._private_jobs',
    );
    return { unfinished: rows[0]!.count, succeeded: undefined };
  },
};
