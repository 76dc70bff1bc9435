import { join } from 'node:path';
import { type Audit, type Contestant, launchOnPostgres, launchRoles, type Launched, type Roles } from '../contestant.ts';
import { type BenchDatabase, type BenchServer, withAdmin } from '../database/server.ts';
import type { Mode } from '../roles/methods.ts';
import { startCoordinator, type TestCoordinator } from '../../support/coordinator.ts';
import { STREAMS, WINDOW_JOBS } from './preset.ts';
import packageJson from '../../../package.json' with { type: 'json' };

/** How this project is laid out in a run; what is left out is one, and the preset's window. */
export interface Layout {
  mode: Mode;
  /** Coordinators on the one database. */
  coordinators?: number;
  /** Workers, each a session of its own, spread over the coordinators; all in one process. */
  workers?: number;
  /** Jobs that each worker may hold. */
  windowJobs?: number;
  /** Queue names, over which jobs are spread evenly; each worker serves all of them. */
  queues?: number;
  /** Priorities, over which jobs are spread evenly. */
  priorities?: number;
  /** How far ahead each job is scheduled; 0: it is not. */
  delayMs?: number;
  /** Serial keys, over which jobs are spread evenly; 0: they have none. */
  serialKeys?: number;
  /** The same for those that only wait beside them. */
  besideKeys?: number;
  /** Jobs of a layer, each of which waits for two of the layer before; 0: they wait for none. */
  layerJobs?: number;
}

/** This project: a coordinator, a worker and a submitter, each a process. */
export const skiplease: Contestant = {
  name: 'skiplease',
  part: 'ours',
  store: 'PostgreSQL',
  describe: () => ({
    version: packageJson.version,
    presets: {
      flood: `window of ${WINDOW_JOBS.flood} jobs, a batch handler, leases of 500; ${STREAMS} StreamSubmitJobs`,
      trickle: `window of ${WINDOW_JOBS.trickle} jobs, a handler; SubmitJob`,
    },
    outcomes: 'kept',
  }),
  launch: (server, mode) => launchSkiplease(server, { mode }),
};

/** This project in any layout, on an empty database. */
export function launchSkiplease(server: BenchServer, layout: Layout): Promise<Launched> {
  return launchOnPostgres(server, 'skiplease', (database) => start(database, layout), audit);
}

async function start({ contestantUrl }: BenchDatabase, layout: Layout): Promise<Roles> {
  const coordinators: TestCoordinator[] = [];
  const stopCoordinators = async () => {
    await Promise.all(coordinators.map((coordinator) => coordinator.stop()));
  };
  try {
    for (let started = 0; started < (layout.coordinators ?? 1); started += 1) {
      coordinators.push(await startCoordinator({ databaseUrl: contestantUrl }));
    }
    const roles = await launchRoles(
      { submitter: join(import.meta.dirname, 'submitter.ts'), worker: join(import.meta.dirname, 'worker.ts') },
      {
        url: contestantUrl,
        mode: layout.mode,
        fleet: {
          addresses: coordinators.map(({ grpcAddress }) => grpcAddress),
          queues: layout.queues ?? 1,
          priorities: layout.priorities ?? 1,
          delayMs: layout.delayMs ?? 0,
          serialKeys: layout.serialKeys ?? 0,
          besideKeys: layout.besideKeys ?? 0,
          layerJobs: layout.layerJobs ?? 0,
          workers: layout.workers ?? 1,
          windowJobs: layout.windowJobs ?? WINDOW_JOBS[layout.mode],
        },
      },
    );
    return {
      ...roles,
      processes: [...coordinators.map(({ pid }) => ({ name: 'coordinator', pid })), ...roles.processes],
      async stop() {
        await roles.stop();
        await stopCoordinators();
      },
    };
  } catch (error) {
    await stopCoordinators();
    throw error;
  }
}

async function audit(database: BenchDatabase): Promise<Audit> {
  const { rows } = await withAdmin(database, (client) =>
    client.query<{ unfinished: number; succeeded: number }>(
      `SELECT ((SELECT count(*) FROM skiplease.job) - (SELECT count(*) FROM skiplease.outcome))::int AS unfinished,
              (SELECT count(*) FROM skiplease.outcome WHERE state = 4)::int AS succeeded`,
    ),
  );
  return rows[0]!;
}
