import type { SkipleaseError } from '../errors.ts';
import type { Condition } from './guard.ts';
import type { CancelCommit } from '../store/cancel_jobs.ts';
import type { NewJob, QueueSettings } from '../types.ts';

/** What a submit answers once it is committed. */
export interface SubmitAnswer {
  /** Ids of the submit that existed already, with the same queue and type; nothing was created for them. */
  existingIds: string[];
  /** Jobs that were not created, by id, with the one that has their unique key; undefined: there are none. */
  standIns?: ReadonlyMap<string, string>;
}

/** A running job that was cancelled in the database: its worker is to be told. */
export interface CancelledLeasedJob {
  jobId: string;
  leaseId: string;
  sessionId: string;
  coordinatorId: string;
  reason: string;
}

/** What `rpc/` asks of the engine, the lease stream apart. */
export interface Engine {
  readonly coordinatorId: string;
  /**
   * Commits the jobs in one transaction (grouped with other submits) and wakes whoever can take them.
   * Rejects with ALREADY_EXISTS (an id of another queue or type), RESOURCE_EXHAUSTED (too much waits, too much comes of this
   * client, or a queue is full) or UNAVAILABLE. Clients share each commit evenly.
   */
  submit(jobs: NewJob[], client?: string): Promise<SubmitAnswer>;
  /** Why a submit of this client is turned away now, whatever is in it; undefined: it is not. */
  submitRefusal(client: string): SkipleaseError | undefined;
  /** False while as many jobs of this client wait for their commit as its part of the next one takes: more would only fill the memory. */
  wantsSubmits(client: string): boolean;
  /** Milliseconds of the database's clock, by a measured offset. */
  nowMs(): number;
  /** What slows every queue down, as far as this coordinator sees. */
  readonly conditions: readonly Condition[];
  /** Settings as cached here, refreshed when they change; creates the queue when it is new. */
  queue(name: string): Promise<QueueSettings>;
  /** After a commit that changed queues' settings: forget the cache here and on other coordinators, wake the dispatcher. */
  queuesChanged(queueIds: number[]): void;
  /** After a commit that changed a queue's limits, once no claim from before it runs: resolves when nothing more starts but by the new ones. */
  reviewLimits(queueId: number): Promise<void>;
  /** After a commit that put a job into `scheduled`, due at this moment of the database's clock: it is promoted in time. */
  scheduled(runAtMs: number): void;
  /** Called after commits that moved jobs, here or (by a wake-up) elsewhere, and set by whoever watches. Returns at once. */
  onMoved: () => void;
  /** After a commit that made or resumed a schedule: it ticks next at this moment of the database's clock. */
  scheduleChanged(nextTickMs: number): void;
  /** After a commit that cancelled jobs: tell their workers, whichever coordinator holds the streams, and those that wait for them. */
  jobsCancelled(commit: CancelCommit, reason: string): void;
  /** After a commit that closed a batch: it may be finished. */
  batchesChanged(): void;
}
