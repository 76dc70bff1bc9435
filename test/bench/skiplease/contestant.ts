import { join } from 'node:path';
import { type Contestant, launchRoles } from '../contestant.ts';
import { processCpuMs } from '../measure/processes.ts';
import { startCoordinator } from '../../support/coordinator.ts';
import { STREAMS, WINDOW_JOBS } from './preset.ts';
import packageJson from '../../../package.json' with { type: 'json' };

/** This project: a coordinator, a worker and a submitter, each a process. */
export const skiplease: Contestant = {
  name: 'skiplease',
  describe: () => ({
    version: packageJson.version,
    presets: {
      flood: `window of ${WINDOW_JOBS.flood} jobs, a batch handler, leases of 500; ${STREAMS} StreamSubmitJobs`,
      trickle: `window of ${WINDOW_JOBS.trickle} jobs, a handler; SubmitJob`,
    },
    outcomes: 'kept',
  }),
  async launch(databaseUrl, mode) {
    const coordinator = await startCoordinator({ databaseUrl });
    try {
      const roles = await launchRoles(
        { submitter: join(import.meta.dirname, 'submitter.ts'), worker: join(import.meta.dirname, 'worker.ts') },
        { databaseUrl, address: coordinator.grpcAddress, mode },
      );
      return {
        ...roles,
        processes: [{ name: 'coordinator', cpuMs: async () => processCpuMs(coordinator.pid) }, ...roles.processes],
        async stop() {
          await roles.stop();
          await coordinator.stop();
        },
      };
    } catch (error) {
      await coordinator.stop();
      throw error;
    }
  },
  async audit(client) {
    const { rows } = await client.query<{ unfinished: number; succeeded: number }>(
      `SELECT ((SELECT count(*) FROM skiplease.job) - (SELECT count(*) FROM skiplease.outcome))::int AS unfinished,
              (SELECT count(*) FROM skiplease.outcome WHERE state = 4)::int AS succeeded`,
    );
    return rows[0]!;
  },
};
