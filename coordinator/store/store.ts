import type { QueueSettings, Retention } from '../types.ts';
import type { Bits } from '../bits.ts';
import { SkipleaseError } from '../errors.ts';
import { RETENTION } from '../limits.ts';
import { CLAIM, CLAIM_PARAMETERS, claim, type ClaimQueue, type ClaimResult } from './claim.ts';
import { claimLimited, type LimitedClaim } from './claim_limited.ts';
import * as coordinators from './coordinators.ts';
import { countWaiting } from './count_waiting.ts';
import { resolveDependents, sweepDependencies, type Resolved, type Swept } from './dependents.ts';
import { changedLimits, reviewLimits, sweepGates, type GateSweep } from './gates.ts';
import { databaseFacts, tablesReadWhole, type DatabaseFacts } from './health.ts';
import { foldBatches, type Fold } from './fold_batches.ts';
import { handOff, type HandOffCommit, type HandOffSlot, type LevelMark } from './hand_off.ts';
import { History } from './history.ts';
import { HotConnection, type StatementObserver, type TransactionRun } from './hot_connection.ts';
import { scanLevels, type Level } from './levels.ts';
import { ensurePartitions } from './partitions.ts';
import { connect } from './connection.ts';
import { saveProgress, sweepProgress, type ProgressRow } from './progress.ts';
import { promote, type Promotion } from './promote.ts';
import { createQueues, queuesById, type Run } from './queue_settings.ts';
import { refusal } from './refusal.ts';
import * as sessions from './sessions.ts';
import { Optimism } from './optimism.ts';
import { RecentJobs } from './recent_jobs.ts';
import { Retirement } from './retire.ts';
import { settle, settleEnded, sweepAllLeases, sweepLeases, type LeaseSettle, type SucceededRow } from './settle.ts';
import { afterEnd, comeBack, leaveGates, lockGates, lockLeases, lookAtJobs, writeDecisions } from './settle_carefully.ts';
import { isConnectionFailure, isLocked, isTransient, isUniqueViolation, sqlState } from './sql_errors.ts';
import { isOnlyCounted, submitBatched } from './submit_batched.ts';
import { forgetGates, lockCallersGates, submitSpecialCaller } from './submit_special.ts';
import { sweepKeys, type KeyPlace } from './sweep_keys.ts';
import { lockKeys } from './take_keys.ts';
import * as tick from './tick.ts';
import { firstPosition, REFUSED, submit, submitOneCaller, submitRepeated, type CallerSubmit, type SubmitCommit, type SubmitRow } from './submit.ts';
import { cancelledUnder, ownMasks } from './unheard_cancels.ts';

export type { TransactionRun };

/** Callers of one flush that may each wait for a lock in vain; the rest are then told to come again. */
const LOCKED_CALLERS_MAX = 3;

/** The least that the store and the engine need of a log. */
export interface Log {
  info(fields: object, message: string): void;
  warn(fields: object, message: string): void;
  error(fields: object, message: string): void;
  debug(fields: object, message: string): void;
}

/** Every hot statement, each on the connection of its kind: what is submitted never waits for what is settled. */
export class Store {
  readonly log: Log;
  readonly #databaseUrl: string;
  readonly #retention: Retention;
  readonly #submit: HotConnection;
  readonly #special: HotConnection;
  readonly #claim: HotConnection;
  readonly #settle: HotConnection;
  readonly #mend: HotConnection;
  readonly #dependents: HotConnection;
  /** Hellos, queues, promotion, progress, scans: single statements, none of them on a job's common path. */
  readonly #rare: HotConnection;
  /** The heartbeat waits for nothing. */
  readonly #pulse: HotConnection;
  readonly #recent = new RecentJobs();
  readonly #submits = new Optimism(isUniqueViolation);
  readonly #batched = new Optimism((error) => !isTransient(error) || isLocked(error));
  readonly #settles = new Optimism(isUniqueViolation);

  /** `history`: the one that all that is remembered here belongs to. */
  constructor(
    databaseUrl: string, log: Log, observe: StatementObserver, retention: Retention = RETENTION, history = new History(undefined, () => {}),
  ) {
    this.#databaseUrl = databaseUrl;
    this.#retention = retention;
    this.log = log;
    const connection = (purpose: string) => new HotConnection(databaseUrl, purpose, observe, history);
    this.#submit = connection('submit');
    this.#special = connection('special');
    this.#claim = connection('claim');
    this.#settle = connection('settle');
    this.#mend = connection('mend');
    this.#dependents = connection('dependents');
    this.#rare = connection('rare');
    this.#pulse = connection('pulse');
  }

  async close(): Promise<void> {
    await Promise.all([this.#submit, this.#special, this.#claim, this.#settle, this.#mend, this.#dependents, this.#rare, this.#pulse].map((connection) => connection.close()));
  }

  isTransient(error: unknown): boolean {
    return isTransient(error);
  }

  /** Somebody holds a row for longer than we wait: whoever needs it is to stand alone. */
  isLocked(error: unknown): boolean {
    return isLocked(error);
  }

  /** Whether the statement took effect is not known. */
  isAmbiguous(error: unknown): boolean {
    return isConnectionFailure(error);
  }

  /** The clock has run past the last partition; whoever meets this tries again once, after they were made. */
  isMissingPartition(error: unknown): boolean {
    return isMissingPartition(error);
  }

  /** skiplease.refuse() ended the statement: something was not as the fast way needs it. */
  isRefused(error: unknown): boolean {
    return sqlState(error) === REFUSED;
  }

  /** What a SQL function of ours refused, as callers are told; undefined: it was something else. */
  refusal(error: unknown): SkipleaseError | undefined {
    return refusal(error);
  }

  submit(rows: SubmitRow[]): Promise<SubmitCommit> {
    return this.#withPartitions(() => this.#submits.run(
      async () => {
        const draw = await submit(this.#submit, rows);
        this.#recent.keep(draw, rows);
        return { positionMin: firstPosition(draw, rows), existingIds: [] };
      },
      () => submitRepeated(this.#submit, rows),
    ));
  }

  /**
   * Several callers in one transaction, each in a savepoint of its own: one that conflicts, is refused or waits in vain for
   * a lock takes no other with it.
   */
  submitEach(callers: SubmitRow[][]): Promise<(CallerSubmit | { error: Error })[]> {
    return this.#withPartitions(() => this.#submit.transaction('submit_each', (run) => this.#eachCaller(run, callers, submitOneCaller)));
  }

  /** Likewise for callers whose jobs have options, on a connection of their own: plain ones never wait for them. */
  submitSpecial(callers: SubmitRow[][]): Promise<(CallerSubmit | { error: Error })[]> {
    return this.#withPartitions(() => this.#special.transaction('submit_special', async (run) => {
      await lockKeys(run, callers.flat());
      const gateIds = callers.length === 1 ? [] : await lockCallersGates(run, callers);
      const results = await this.#eachCaller(run, callers, submitSpecialCaller);
      await forgetGates(run, gateIds);
      return results;
    }));
  }

  /** Likewise for callers whose jobs ask for nothing but to be counted (isOnlyCounted): all of them in one statement where that can be. */
  submitBatched(callers: SubmitRow[][]): Promise<(CallerSubmit | { error: Error })[]> {
    return this.#batched.run<(CallerSubmit | { error: Error })[]>(
      async () => {
        const rows = callers.flat();
        const draw = await submitBatched(this.#special, rows);
        this.#recent.keep(draw, rows);
        return callers.map(() => ({ positionMin: firstPosition(draw, rows), existingIds: [], takenIds: [] }));
      },
      () => this.submitSpecial(callers),
    );
  }

  async #eachCaller(run: TransactionRun, callers: SubmitRow[][], submitCaller: typeof submitOneCaller): Promise<(CallerSubmit | { error: Error })[]> {
    const results: (CallerSubmit | { error: Error })[] = [];
    let locked: { error: Error; count: number } | undefined;
    for (const rows of callers) {
      if (locked?.count === LOCKED_CALLERS_MAX) {
        results.push({ error: locked.error });
        continue;
      }
      await run('savepoint caller');
      try {
        const result = await submitCaller(run, rows);
        if (result.takenIds.length > 0) {
          await run('rollback to savepoint caller');
        }
        await run('release savepoint caller');
        results.push(result);
      } catch (error) {
        if ((isTransient(error) && !isLocked(error)) || isMissingPartition(error)) {
          throw error;
        }
        await run('rollback to savepoint caller');
        results.push({ error: error as Error });
        if (isLocked(error)) {
          locked = { error: error as Error, count: (locked?.count ?? 0) + 1 };
        }
      }
    }
    return results;
  }

  handOff(coordinatorId: string, rows: SubmitRow[], slots: HandOffSlot[], levels: LevelMark[]): Promise<HandOffCommit> {
    return this.#withPartitions(() => handOff(this.#submit, coordinatorId, rows, slots, levels));
  }

  claim(coordinatorId: string, queues: ClaimQueue[]): Promise<ClaimResult> {
    return claim((values) => this.#claim.run(CLAIM, values), coordinatorId, queues, this.#recent.lend());
  }

  /** The same of queues with limits: no more than may start. */
  claimLimited(coordinatorId: string, queues: ClaimQueue[]): Promise<LimitedClaim> {
    const lent = this.#recent.lend();
    return this.#claim.transaction('claim_limited', (run) => claimLimited(run, coordinatorId, queues, lent));
  }

  sweepGates(): Promise<GateSweep> {
    return sweepGates(this.#special);
  }

  changedLimits(): Promise<number[]> {
    return changedLimits(this.#special);
  }

  reviewLimits(queueId: number, placed: (levels: Level[]) => void): Promise<void> {
    return reviewLimits(this.#special, queueId, placed);
  }

  settle(leases: LeaseSettle[], rows: SucceededRow[], finishedLeaseIds: bigint[]): Promise<Set<string> | undefined> {
    const settlement = { leases, rows, finishedLeaseIds };
    return this.#withPartitions(() => this.#settles.run(
      () => settle(this.#settle, settlement),
      () => settleEnded(this.#settle, settlement),
    ));
  }

  sweepLeases(leaseIds: bigint[]): Promise<bigint[]> {
    return sweepLeases(this.#rare, leaseIds);
  }

  sweepAllLeases(): Promise<void> {
    return sweepAllLeases(this.#rare);
  }

  /** A transaction that locks, looks and decides. */
  mend<Result>(work: (run: TransactionRun) => Promise<Result>): Promise<Result> {
    return this.#withPartitions(() => this.#mend.transaction('mend', work));
  }

  isOnlyCounted = isOnlyCounted;
  lockLeases = lockLeases;
  lockGates = lockGates;
  lookAtJobs = lookAtJobs;
  writeDecisions = writeDecisions;
  afterEnd = afterEnd;
  leaveGates = leaveGates;
  comeBack = comeBack;
  lockExpired = coordinators.lockExpired;

  /** Jobs that are committed together with an outcome. An id that is taken by another job refuses both. */
  async submitFollowUps(run: TransactionRun, rows: SubmitRow[]): Promise<CallerSubmit> {
    const special = rows.some(({ job }) => job.options !== null);
    const submitted = await (special ? submitSpecialCaller : submitOneCaller)(run, rows);
    if (submitted.takenIds.length > 0) {
      throw new SkipleaseError('ALREADY_EXISTS', 'JOB_ID_TAKEN', `The follow-up job ${submitted.takenIds[0]} exists with another queue or type.`);
    }
    return submitted;
  }

  /** A transaction that submits the jobs of schedules that are due. */
  tick<Result>(work: (run: TransactionRun) => Promise<Result>): Promise<Result> {
    return this.#withPartitions(() => this.#special.transaction('tick', work));
  }

  lockDueSchedules = tick.lockDueSchedules;
  openJobs = tick.openJobs;
  readSpecs = tick.readSpecs;
  advanceSchedules = tick.advanceSchedules;
  nextTickInMs = tick.nextTickInMs;

  createQueues(names: string[]): Promise<QueueSettings[]> {
    return createQueues(this.#rare, names);
  }

  /** Within a transaction: by its own `run`. */
  queuesById(queueIds: number[], run: Run = (statement, values) => this.#rare.run(statement, values)): Promise<QueueSettings[]> {
    return queuesById(run, queueIds);
  }

  countWaiting(queueId: number, max: number): Promise<number> {
    return countWaiting(this.#rare, queueId, max);
  }

  resolveDependents(onJobIds: string[], jobsMax: number): Promise<Resolved> {
    return this.#withPartitions(() => resolveDependents(this.#dependents, onJobIds, jobsMax));
  }

  sweepDependencies(fromBlock: number, blocks: number): Promise<Swept> {
    return sweepDependencies(this.#rare, fromBlock, blocks);
  }

  promote(): Promise<Promotion> {
    return promote(this.#rare);
  }

  /** Partitions may be missing when a follow-up goes in. */
  foldBatches(afterId: string): Promise<Fold | undefined> {
    return this.#withPartitions(() => foldBatches(this.#rare, afterId));
  }

  scanLevels(): Promise<Level[]> {
    return scanLevels(this.#rare);
  }

  saveProgress(rows: ProgressRow[]): Promise<void> {
    return saveProgress(this.#rare, rows);
  }

  sweepKeys(after: KeyPlace | undefined): Promise<{ next: KeyPlace | undefined; deleted: number }> {
    return sweepKeys(this.#rare, after);
  }

  sweepProgress(): Promise<void> {
    return sweepProgress(this.#rare);
  }

  insertSessions(coordinatorId: string, rows: sessions.SessionRow[]): Promise<void> {
    return sessions.insertSessions(this.#rare, coordinatorId, rows);
  }

  deleteSessions(coordinatorId: string, sessionIds: string[]): Promise<void> {
    return sessions.deleteSessions(this.#rare, coordinatorId, sessionIds);
  }

  countSessions(): Promise<number> {
    return sessions.countSessions(this.#rare);
  }

  /**
   * Leases that are named move, and earlier sessions of the instances end, at once: of two hellos of one instance that are under way at
   * the same time, one finds that the other was there.
   */
  takeUp(
    coordinatorId: string, held: sessions.HeldToken[], of: { instanceId: string; identity: string; sessionId: string }[],
  ): Promise<{ leases: sessions.ResumedLease[]; earlier: sessions.EarlierSession[] }> {
    return this.#rare.transaction('take_up', async (run) => ({
      leases: held.length === 0 ? [] : await sessions.resumeLeases(run, coordinatorId, held),
      earlier: await sessions.endEarlierSessions(run, of),
    }));
  }

  leasesOf(of: { sessionId: string; coordinatorId: string }[]): Promise<{ leaseId: bigint; sessionId: string; coordinatorId: string }[]> {
    return sessions.leasesOf(this.#rare, of);
  }

  goneSessions(sessionIds: string[]): Promise<string[]> {
    return sessions.goneSessions(this.#rare, sessionIds);
  }

  leasesOfSessions(coordinatorId: string, sessionIds: string[]): Promise<sessions.SilentLease[]> {
    return sessions.leasesOfSessions(this.#rare, coordinatorId, sessionIds);
  }

  enter(coordinatorId: string, ttlMs: number, address: string): Promise<void> {
    return coordinators.enter(this.#pulse, coordinatorId, ttlMs, address);
  }

  beat(coordinatorId: string, ttlMs: number): Promise<coordinators.Beat> {
    return coordinators.beat(this.#pulse, coordinatorId, ttlMs);
  }

  leave(coordinatorId: string): Promise<void> {
    return coordinators.leave(this.#pulse, coordinatorId);
  }

  leasesLeftBehind(coordinatorIds: string[]): Promise<coordinators.LeftBehind[]> {
    return coordinators.leasesLeftBehind(this.#rare, coordinatorIds);
  }

  bury(coordinatorIds: string[], ttlMs: number): Promise<void> {
    return coordinators.bury(this.#rare, coordinatorIds, ttlMs);
  }

  ownMasks(coordinatorId: string): Promise<Map<bigint, Bits>> {
    return ownMasks(this.#rare, coordinatorId);
  }

  cancelledUnder(held: { leaseId: bigint; jobId: string }[]): Promise<{ index: number; reason: string }[]> {
    return cancelledUnder(this.#rare, held);
  }

  ownLeases(coordinatorId: string): Promise<bigint[]> {
    return coordinators.ownLeases(this.#rare, coordinatorId);
  }

  adoptLeases(): Promise<void> {
    return coordinators.adoptLeases(this.#rare);
  }

  databaseFacts(): Promise<DatabaseFacts> {
    return databaseFacts(this.#rare);
  }

  /** By the claim's present plan; undefined: nothing was claimed on this connection yet. */
  tablesReadWholeByClaim(): Promise<string[] | undefined> {
    return tablesReadWhole(this.#claim, CLAIM, CLAIM_PARAMETERS);
  }

  async ensurePartitions(): Promise<void> {
    const client = await connect(this.#databaseUrl, 'partitions');
    try {
      await ensurePartitions(client, this.#retention.days);
    } finally {
      await client.end().catch(() => {});
    }
  }

  /** Old partitions, to be dropped step by step; undefined: another coordinator is at it. To be closed. */
  retire(): Promise<Retirement | undefined> {
    return Retirement.begin(this.#databaseUrl, this.#retention);
  }

  /** The clock may have run past the last partition (a long sleep): make it, and try once more. */
  async #withPartitions<Result>(run: () => Promise<Result>): Promise<Result> {
    try {
      return await run();
    } catch (error) {
      if (!isMissingPartition(error)) {
        throw error;
      }
      await this.ensurePartitions();
      return run();
    }
  }
}

/** check_violation with no constraint: "no partition of relation … found for row". */
function isMissingPartition(error: unknown): boolean {
  return sqlState(error) === '23514' && (error as { constraint?: string }).constraint === undefined;
}
