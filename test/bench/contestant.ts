import type pg from 'pg';
import type { Connection, Mode, SubmitterMethods, WorkerMethods } from './roles/methods.ts';
import { RoleProcess } from './roles/role_process.ts';

/** What is printed of a contestant, so that a reader knows what was measured. */
export interface Description {
  version: string;
  /** The settings under which it runs. Without one for a trickle it takes no part in the latency scenario. */
  presets: { flood: string; trickle?: string };
  /** What the database still says of a job after it is done. */
  outcomes: string;
}

/** What a contestant's own tables say once everything has stopped. */
export interface Audit {
  /** Jobs that wait or are held. */
  unfinished: number;
  /** Jobs recorded as succeeded; `undefined` when the contestant forgets them. */
  succeeded: number | undefined;
}

/** A system under test. Each is run as in life: its worker in one process, its submitter in another. */
export interface Contestant {
  readonly name: string;
  describe(): Description;
  /** Starts its processes on an empty database and makes its schema. Nothing works on jobs until `worker.start`. */
  launch(databaseUrl: string, mode: Mode): Promise<Launched>;
  audit(client: pg.Client): Promise<Audit>;
}

/** A process whose CPU time is read before and after a run. */
export interface MeasuredProcess {
  name: string;
  /** `undefined` where it cannot be read. */
  cpuMs(): Promise<number | undefined>;
}

/** A running contestant. */
export interface Launched {
  submitter: RoleProcess<SubmitterMethods>;
  worker: RoleProcess<WorkerMethods>;
  processes: MeasuredProcess[];
  /** Ends every process, each in its orderly way. */
  stop: () => Promise<void>;
}

/** Starts the submitter's and the worker's process and connects both. */
export async function launchRoles(
  modules: { submitter: string; worker: string; environment?: Record<string, string> },
  connection: Connection,
): Promise<Launched> {
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
  const processes = [worker, submitter].map((role) => ({ name: role.name, cpuMs: () => role.call('cpuMs') }));
  return { submitter, worker, processes, stop };
}
