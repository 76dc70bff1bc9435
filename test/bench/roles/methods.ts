import type { Delivery } from '../measure/tally.ts';

/** What a contestant is set up for: as many jobs as possible, or each as soon as possible. */
export type Mode = 'flood' | 'trickle';

/** Where a role finds its system: a database for those that are libraries over one, an address for the others. */
export interface Connection {
  databaseUrl: string;
  address?: string;
  mode: Mode;
}

/** How jobs are submitted in a flood. */
export interface FloodOrder {
  /** Number of the first job. */
  first: number;
  count: number;
  payloadBytes: number;
}

/** How jobs are submitted in a trickle: one each `intervalMs`, whatever became of the one before. */
export interface TrickleOrder extends FloodOrder {
  intervalMs: number;
}

/** When a flood was submitted, in milliseconds of the shared clock. */
export interface Submitted {
  startMs: number;
  /** The last answer that says committed. */
  endMs: number;
}

/** What the harness asks of a submitter's process. */
export interface SubmitterMethods {
  open(connection: Connection): Promise<void>;
  submit(order: FloodOrder): Promise<Submitted>;
  trickle(order: TrickleOrder): Promise<Submitted>;
  close(): Promise<void>;
}

/** What the harness asks of a worker's process. */
export interface WorkerMethods {
  open(connection: Connection): Promise<void>;
  /** Which jobs are to come. Clears what was counted before. */
  expect(order: { first: number; count: number }): Promise<void>;
  /** Begins to work; answers with the moment just before. */
  start(): Promise<number>;
  /** Stops as its docs say, finishing what it holds. */
  stop(): Promise<void>;
  /** The moment of the last durable completion. */
  finished(order: { deadlineMs: number }): Promise<number>;
  delivery(): Promise<Delivery>;
  latenciesMs(): Promise<number[]>;
  close(): Promise<void>;
}

/** What the harness asks of a process full of idle workers. */
export interface FleetMethods {
  open(order: { address: string; sessions: number }): Promise<void>;
  close(): Promise<void>;
}

/** What every role answers. */
export interface CommonMethods {
  /** CPU time of the process so far. */
  cpuMs(): Promise<number>;
}
