import type { DatabaseClient, DatabasePool } from './database/pool.ts';
import { endEachInTransaction, endInTransaction } from './database/transaction.ts';
import type { HeldJob } from './lease/held_job.ts';
import type { ProgressOutbox } from './lease/progress_outbox.ts';
import { loggerWith } from './logger.ts';
import type { Logger } from './logger.ts';
import { specFrom } from './new_job.ts';
import type { NewJob } from './new_job.ts';
import { payloadFrom } from './wire/payload.ts';

const noteCharactersMax = 200;
const followUpsMax = 100;

/** What contexts need of the worker. */
export interface ContextParts {
  logger: Logger;
  progress: ProgressOutbox;
  /** Welcome's limit. */
  checkpointBytesMax: () => number;
  /** The worker's option. */
  database: DatabasePool | undefined;
}

/** What a handler is given beside its job. */
export class JobContext {
  readonly #held: HeldJob;
  readonly #parts: ContextParts;
  #logger: Logger | undefined;

  constructor(held: HeldJob, parts: ContextParts) {
    this.#held = held;
    this.#parts = parts;
  }

  /** Fires when the work should stop, with a JobCancelledError, LeaseLostError, JobTimeoutError or WorkerStoppingError. */
  get signal(): AbortSignal {
    return this.#held.signal;
  }

  /** The fencing token of the lease: proof of the hold, for completing the job inside a transaction of one's own. */
  get token(): string {
    return this.#held.lease.token;
  }

  /** The worker's logger, with the job's id, type and attempt in each line. */
  get logger(): Logger {
    const { id, type, attempt } = this.#held.wire;
    return (this.#logger ??= loggerWith(this.#parts.logger, { job_id: id, job_type: type, attempt }));
  }

  /** How far it is: percent 0 to 100, and a note for people (200 characters are kept). Call it as often as you like. */
  progress(percent: number, note?: string): void {
    if (!(percent >= 0 && percent <= 100)) throw new RangeError(`percent must be 0 to 100, not ${percent}`);
    const kept = note?.slice(0, noteCharactersMax).toWellFormed();
    this.#parts.progress.update(this.#held, kept === undefined ? { percent } : { percent, note: kept });
  }

  /**
   * A job to be submitted with this one's success: both are committed together, or neither. At most 100 for each job.
   * Returns its id.
   */
  followUp(job: NewJob): string {
    const followUps = (this.#held.followUps ??= []);
    if (followUps.length === followUpsMax) throw new RangeError(`a job may have at most ${followUpsMax} follow-ups`);
    const spec = specFrom(job, this.#held.lease.codec);
    followUps.push(spec);
    return spec.id;
  }

  /**
   * Does the job's work on the worker's own database and completes the job in the same transaction: both are committed,
   * or neither is, whatever is killed at whatever moment. What `work` resolves to is the job's result, and is returned.
   * What it throws rolls everything back. An Error that it resolves to (a PermanentError, say) fails the job, and what
   * was written stays. Follow-ups go into the same transaction. Once for each job; commit and roll back nothing in it.
   */
  transaction<Result, Client extends DatabaseClient = DatabaseClient>(work: (client: Client) => Promise<Result>): Promise<Result> {
    return endInTransaction(databaseOf(this.#parts), this.#held, (client) => work(client as Client));
  }

  /**
   * What the next attempt should know, should this one not succeed: bytes, or anything that JSON holds. Replaces the
   * one before. Throws RangeError above the limit (64 KiB unless the coordinator is set otherwise).
   */
  checkpoint(value: unknown): void {
    const checkpoint = payloadFrom(value, '', this.#held.lease.codec);
    if (checkpoint?.content?.$case !== 'data') throw new TypeError('a checkpoint must be bytes or a JSON value');
    const bytes = checkpoint.content.value.length;
    const bytesMax = this.#parts.checkpointBytesMax();
    if (bytes > bytesMax) throw new RangeError(`the checkpoint has ${bytes} bytes, more than the ${bytesMax} that are kept`);
    this.#parts.progress.update(this.#held, { checkpoint });
  }
}

/** What a batch handler is given beside its jobs. */
export class BatchContext {
  readonly #batch: readonly HeldJob[];
  readonly #parts: ContextParts;
  /** Made when a handler first asks for one: most never do. */
  #contexts: Map<string, JobContext> | undefined;
  /** Fires when no job of the batch needs work any more. Of one job: `of(job).signal`. */
  readonly signal: AbortSignal;
  /** The fencing token of the lease that all the jobs came in. */
  readonly token: string;
  readonly logger: Logger;

  constructor(batch: readonly HeldJob[], parts: ContextParts, signal: AbortSignal, logger: Logger) {
    this.#batch = batch;
    this.#parts = parts;
    this.signal = signal;
    this.token = batch[0]!.lease.token;
    this.logger = logger;
  }

  /** The context of one job of the batch: its signal, progress and checkpoint. Throws RangeError for any other job. */
  of(job: { id: string }): JobContext {
    this.#contexts ??= new Map(this.#batch.map((held) => [held.wire.id, new JobContext(held, this.#parts)]));
    const context = this.#contexts.get(job.id);
    if (context === undefined) throw new RangeError(`the job ${job.id} is not of this batch`);
    return context;
  }

  /**
   * JobContext.transaction for many jobs: one transaction on the worker's own database, in which each job is done and
   * completed behind a savepoint, one after the other in the order given. What `work` throws for one takes back what was
   * done for that one, and nothing of the others. Resolves, once committed, to what the batch handler should return: by job
   * id, a result or an Error. Rejects when nothing was committed, or when nobody knows: throw it on.
   */
  transaction<Job extends { id: string }, Client extends DatabaseClient = DatabaseClient>(
    jobs: readonly Job[],
    work: (client: Client, job: Job) => Promise<unknown>,
  ): Promise<Map<string, unknown>> {
    const byId = new Map(this.#batch.map((held) => [held.wire.id, held]));
    const batch = jobs.map((job) => {
      const held = byId.get(job.id);
      if (held === undefined) throw new RangeError(`the job ${job.id} is not of this batch`);
      return { held, job };
    });
    return endEachInTransaction(databaseOf(this.#parts), batch, (client, job) => work(client as Client, job));
  }
}

function databaseOf({ database }: ContextParts): DatabasePool {
  if (database === undefined) throw new Error('transaction() needs the database that the jobs are in: give the worker the option `database`, a pool of node-postgres');
  return database;
}
