/** What the database says at the end, a type for each file of rows. Times are monotonic milliseconds, as in the histories. */

export interface JobRow {
  id: string;
  queue: string;
  type: string;
  serialKey: string | null;
  limitKey: string | null;
  maxAttempts: number;
  /** When it might run at the earliest; null: at once. */
  runAt: number | null;
  afterJobIds: string[];
  runAnyway: boolean;
  batchId: string | null;
  /** It is to have a child once it has succeeded. */
  wantsChild: boolean;
  /** Of a child: its parent, and the lease under which it came into being. */
  parentId: string | null;
  parentLeaseId: string | null;
}

/** States have the numbers of skiplease.v1.JobState. */
export const SUCCEEDED = 4;
export const FAILED = 5;
export const CANCELLED = 6;

export interface OutcomeRow {
  id: string;
  state: typeof SUCCEEDED | typeof FAILED | typeof CANCELLED;
  leaseId: string | null;
  attempt: number;
  finishedAt: number;
  committedAt: number;
  /** The lease that the result says it was made under. */
  resultLeaseId: string | null;
  /** Of a cancelled one: why, in a word. */
  reason: string | null;
}

export interface AttemptRow {
  id: string;
  number: number;
  leaseId: string;
  /** 1 failed, 2 expired. */
  state: 1 | 2;
  endedAt: number;
  committedAt: number;
  code: string;
}

export interface GrantRow {
  leaseId: string;
  token: string;
  sessionId: string;
  jobIds: string[];
  attempts: number[];
  at: number;
}

/** The bits of a lease after a change of them, such as `0110`. */
export interface SettledRow {
  leaseId: string;
  settled: string;
  at: number;
}

export interface MovedRow {
  leaseId: string;
  sessionId: string;
  at: number;
}

export interface DroppedRow {
  leaseId: string;
  at: number;
}

export interface LedgerRow {
  id: string;
  leaseId: string;
}

export interface BatchRow {
  id: string;
  finished: boolean;
  total: number;
  succeeded: number;
  failed: number;
  cancelled: number;
  followUpId: string | null;
}

/** Rows of a table that should be empty once nothing is left to do. */
export interface LeftRow {
  table: string;
  count: number;
}

export interface Rows {
  job: JobRow[];
  outcome: OutcomeRow[];
  attempt: AttemptRow[];
  granted: GrantRow[];
  settled: SettledRow[];
  moved: MovedRow[];
  dropped: DroppedRow[];
  ledger: LedgerRow[];
  orders: { id: string }[];
  batch: BatchRow[];
  left: LeftRow[];
}
