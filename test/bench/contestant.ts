import type { BenchDatabase, BenchServer } from './database/server.ts';
import type { MeasuredProcess } from './measure/process_meter.ts';
import type { Connection, Mode, SubmitterMethods, WorkerMethods } from './roles/methods.ts';
import { RoleProcess } from './roles/role_process.ts';

/** What is printed of a contestant, so that a reader knows what was measured. */
export interface Description {
  version: string;
  /** The settings under which it runs. Without one for a trickle it takes no part in the latency scenario. */
  presets: { flood: string; trickle?: string };
  /** What is still known of a job after it is done. */
  outcomes: string;
}

/** What a contestant's own records say once its processes have stopped. */
export interface Audit {
  /** Jobs that wait or are held. */
  unfinished: number;
  /** Jobs recorded as succeeded; `undefined` when the contestant forgets them. */
  succeeded: number | undefined;
}

/** A system under test. Each is run as in life: its worker in one process, its submitter in another. */
export interface Contestant {
  readonly name: string;
  /** Ours; a peer that it is compared with; or what PostgreSQL itself could do. */
  readonly part: 'ours' | 'peer' | 'ceiling';
  readonly store: 'PostgreSQL' | 'Redis';
  /** Takes part only where it is named. */
  readonly onlyByName?: boolean;
  /** Why it cannot run on this machine; `undefined` where it can. */
  missing?(): string | undefined;
  describe(): Description;
  /** Makes its empty store, starts its processes, makes its schema. Nothing works on jobs until `worker.start`. */
  launch(server: BenchServer, mode: Mode): Promise<Launched>;
}

/** A running contestant. */
export interface Launched {
  submitter: RoleProcess<SubmitterMethods>;
  worker: RoleProcess<WorkerMethods>;
  processes: MeasuredProcess[];
  /** Its database; `undefined` for one that keeps its jobs elsewhere. */
  database: BenchDatabase | undefined;
  /** Ends its processes, each in its orderly way. What it stored stays. */
  stop(): Promise<void>;
  /** To be asked once it is stopped. */
  audit(): Promise<Audit>;
  /** Stops it, if it still runs, and drops what it stored. */
  discard(): Promise<void>;
}

/** The two processes of a contestant, or one that plays both parts. */
export type Roles = Pick<Launched, 'submitter' | 'worker' | 'processes' | 'stop'>;

/** Starts the submitter's and the worker's process and connects both. */
export async function launchRoles(
  modules: { submitter: string; worker: string; environment?: Record<string, string> },
  connection: Connection,
): Promise<Roles> {
  const submitter = new RoleProcess<SubmitterMethods>('submitter', modules.submitter, modules.environment);
  const worker = new RoleProcess<WorkerMethods>('worker', modules.worker, modules.environment);
  const stop = async () => {
    await Promise.allSettled([worker.stop(), submitter.stop()]);
  };
  try {
    // In this order: a peer's schema is made by its submitter.
    await submitter.call('open', connection);
    await worker.call('open', connection);
  } catch (error) {
    await stop();
    throw error;
  }
  return { submitter, worker, processes: [worker, submitter], stop };
}

/** Makes an empty database for a contestant and starts it there; `audit` reads that database. */
export async function launchOnPostgres(
  server: BenchServer,
  name: string,
  start: (database: BenchDatabase) => Promise<Roles>,
  audit: (database: BenchDatabase) => Promise<Audit>,
): Promise<Launched> {
  const database = await server.createDatabase(name);
  try {
    const roles = await start(database);
    let stopped: Promise<void> | undefined;
    const stop = () => (stopped ??= roles.stop());
    return {
      ...roles,
      database,
      stop,
      audit: () => audit(database),
      async discard() {
        await stop();
        await server.dropDatabase(database);
      },
    };
  } catch (error) {
    await server.dropDatabase(database);
    throw error;
  }
}
