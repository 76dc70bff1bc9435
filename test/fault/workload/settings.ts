/** What each program of the workload is started with, as one JSON argument. */
export interface WorkloadSettings {
  /** The name of the process and of its history, without the incarnation. */
  name: string;
  incarnation: number;
  seed: number;
  /** The links to the coordinators. */
  addresses: string[];
  /** Past its own link: for what shares transactions with jobs. */
  databaseUrl: string;
  leaseTtlMs: number;
  historyFolder: string;
}

export function readSettings(): WorkloadSettings {
  return JSON.parse(process.argv[2]!) as WorkloadSettings;
}

/** Of one incarnation of one process. */
export function historyName({ name, incarnation }: Pick<WorkloadSettings, 'name' | 'incarnation'>): string {
  return `${name}.${incarnation}`;
}

/** A program of the workload prints this line once it has been loaded and listens for signals. */
export const READY = 'ready';

export function sayReady(): void {
  process.stdout.write(`${READY}\n`);
}
