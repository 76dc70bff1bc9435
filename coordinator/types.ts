/** The words that the engine, the store and the wire share. Shapes match the proto's messages where they carry the same. */

/** Numbers of skiplease.v1.JobState, as stored. */
export const JobState = {
  SCHEDULED: 1, READY: 2, LEASED: 3, SUCCEEDED: 4, FAILED: 5, CANCELLED: 6, BLOCKED: 7,
} as const;
export type JobState = (typeof JobState)[keyof typeof JobState];

/** Numbers of skiplease.v1.MissedTicks, as stored. */
export const MissedTicks = { RUN_LATEST: 1, RUN_ALL: 2, SKIP: 3 } as const;
export type MissedTicks = (typeof MissedTicks)[keyof typeof MissedTicks];

/** Numbers of skiplease.v1.Overlap, as stored. */
export const Overlap = { ALLOW: 1, SKIP: 2, REPLACE: 3 } as const;
export type Overlap = (typeof Overlap)[keyof typeof Overlap];

/** Numbers of skiplease.v1.ConditionKind. */
export const ConditionKind = {
  PAUSED: 1, NO_WORKER: 2, OLD_SNAPSHOT: 3, VACUUM_OFF: 4, VACUUM_BEHIND: 5, WRONG_PLAN: 6, SLOW_COMMITS: 7, LIMITED: 8, RATE_LIMITED: 9, BLOCKED: 10,
  FULL: 11,
} as const;
export type ConditionKind = (typeof ConditionKind)[keyof typeof ConditionKind];

/** A job that has passed validation and has its id. */
export interface NewJob {
  /** UUIDv7, lower case. */
  id: string;
  queue: string;
  type: string;
  payload: Uint8Array;
  /** null: application/octet-stream. */
  contentType: string | null;
  /** 0 to 9, higher first. */
  priority: number;
  /** Milliseconds of the database's clock; null: now. */
  runAtMs: number | null;
  /** null: the queue's policy. */
  maxAttempts: number | null;
  timeoutMs: number | null;
  /** JSON object text; null: none. */
  headers: string | null;
  /** The FAILED job that this one retries. */
  originId: string | null;
  /** What few jobs ask for; null: nothing of it. */
  options: JobOptions | null;
}

/** Stored as JSON with these names: SQL functions read them. Times in milliseconds of the database's clock. */
export interface JobOptions {
  /** What is left out is the queue's. */
  retry?: { initialMs?: number; factor?: number; maxMs?: number; jitter?: number };
  startByMs?: number;
  unique?: UniqueKey;
  serialKey?: string;
  limitKey?: string;
  batchId?: string;
  /** Ids of the jobs that it waits for. */
  after?: string[];
  afterPolicy?: 'cancel' | 'run_anyway';
  /** The name of the schedule that submitted it. */
  schedule?: string;
}

export interface UniqueKey {
  key: string;
  scope: 'queue' | 'queue_and_type';
  /** null: until its job is final. */
  lifetimeMs: number | null;
  onConflict: 'return_existing' | 'reject' | 'replace';
}

/** Retry policy of a queue. Times in milliseconds. */
export interface RetryPolicy {
  maxAttempts: number;
  initialMs: number;
  factor: number;
  maxMs: number;
  /** 0 to 1, as a share of the delay. */
  jitter: number;
}

/** How many jobs may run at once (null: any number), and how many may start in a time (null: as they come). */
export interface Limit {
  runningMax: number | null;
  rate: Rate | null;
}

/** A token bucket: each start takes a token, they come back evenly, and it holds at most `burst`. */
export interface Rate {
  starts: number;
  periodMs: number;
  burst: number;
}

export interface QueueSettings {
  id: number;
  name: string;
  paused: boolean;
  leaseJobsMax: number;
  retry: RetryPolicy;
  /** Claims of it count, or take tokens: under a lock, in a transaction of their own (claim_limited.ts). */
  limited: boolean;
  /** Jobs of it with a limit key may wait for tokens. */
  keyRate: boolean;
  /** While so many jobs wait in it, submits are turned away; null: never. */
  waitingMax: number | null;
}

/** How long final jobs are kept, from their end on: whole days, 1 at least. */
export interface Retention {
  days: number;
  /** For those that FAILED; not less than `days`. */
  failedDays: number;
}
