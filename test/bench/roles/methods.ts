import type { Delivery } from '../measure/tally.ts';

/** What a contestant is set up for: as many jobs as possible, or each as soon as possible. */
export type Mode = 'flood' | 'trickle';

/** Where a role finds its system. */
export interface Connection {
  /** The database, or the Redis, that the contestant's libraries connect to. */
  url: string;
  mode: Mode;
  /** For the roles of Skiplease, which know coordinators and no database. */
  fleet?: FleetShape;
}

/** Who connects to which coordinators, in the roles of Skiplease. */
export interface FleetShape {
  addresses: string[];
  /** Queue names, over which jobs are spread evenly. */
  queues: number;
  /** Priorities, over which jobs are spread evenly. */
  priorities: number;
  /** How far ahead each job is scheduled; 0: it is not. */
  delayMs: number;
  /** Serial keys, over which jobs are spread evenly; 0: they have none. */
  serialKeys: number;
  /** The same for those that only wait beside them. */
  besideKeys: number;
  /** Jobs of a layer, each of which waits for two of the layer before; 0: they wait for none. */
  layerJobs: number;
  /** Workers in the worker's process, each a session of its own, spread over the addresses. */
  workers: number;
  /** The window of each. */
  windowJobs: number;
}

/** How jobs are submitted in a flood. */
export interface FloodOrder {
  /** Number of the first job. */
  first: number;
  count: number;
  payloadBytes: number;
}

/** How jobs are submitted at a pace: so many each `intervalMs`, whatever became of those before. */
export interface PacedOrder extends FloodOrder {
  intervalMs: number;
  /** Submitted by one call. */
  together: number;
}

/** When jobs were submitted, in milliseconds of the shared clock. */
export interface Submitted {
  startMs: number;
  /** The last answer that says committed. */
  endMs: number;
}

/** What the harness asks of a submitter's process. */
export interface SubmitterMethods {
  open(connection: Connection): Promise<void>;
  submit(order: FloodOrder): Promise<Submitted>;
  paced(order: PacedOrder): Promise<Submitted>;
  close(): Promise<void>;
}

/** Which jobs are to come. */
export interface Expectation {
  /** Number of the first. */
  first: number;
  count: number;
  /** How many of them are waited for; all, when left out. */
  enough?: number;
}

/** What the harness asks of a worker's process. */
export interface WorkerMethods {
  open(connection: Connection): Promise<void>;
  /** Clears what was counted before. */
  expect(order: Expectation): Promise<void>;
  /** Goes on counting, towards more jobs of the same numbers. */
  expectMore(order: Expectation): Promise<void>;
  /** Begins to work; answers with the moment just before. */
  start(): Promise<number>;
  /** Stops as its docs say, finishing what it holds. */
  stop(): Promise<void>;
  /** The moment of the last durable completion that was waited for. */
  finished(order: { deadlineMs: number }): Promise<number>;
  delivery(): Promise<Delivery>;
  latenciesMs(): Promise<number[]>;
}

/** What the harness asks of a process full of idle workers. */
export interface FleetMethods {
  open(order: { address: string; sessions: number }): Promise<void>;
  close(): Promise<void>;
}

/** What became of the jobs that a driver submitted. */
export interface DriverCounts {
  /** In an overload: jobs that fell due. */
  offered: number;
  /** Of those, what was not sent because too many calls were on their way. */
  unsent: number;
  accepted: number;
  /** Of each accepted call of an overload, which is all or nothing, a job's id. */
  acceptedIds: string[];
  /** Jobs by why they were refused. */
  refused: Record<string, number>;
  slowestAnswerMs: number;
}

/** What the harness asks of a process that submits until it is told to stop. */
export interface DriverMethods {
  open(order: { address: string; payloadBytes: number }): Promise<void>;
  /** As fast as it is taken. */
  flood(): Promise<void>;
  /** So many, whatever became of those before; nothing is tried twice. */
  overload(order: { jobsPerSecond: number }): Promise<void>;
  /** Resolves when the last answer is there. */
  stop(): Promise<void>;
  counts(): Promise<DriverCounts>;
}

/** What a process has used so far. */
export interface Usage {
  cpuMs: number;
  /** Over all connections that it has opened, the harness's channel left out. */
  bytesSent: number;
  bytesReceived: number;
}

/** What every role answers. */
export interface CommonMethods {
  usage(): Promise<Usage>;
}
