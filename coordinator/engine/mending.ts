import { Bits } from '../bits.ts';
import type { AfterEnd, Decisions, JobFacts, LockedLease } from '../store/settle_carefully.ts';
import type { Store, TransactionRun } from '../store/store.ts';
import type { SubmitRow } from '../store/submit.ts';
import type { QueueSettings, RetryPolicy } from '../types.ts';
import { decide, proves, remember, type Decision, type Move, type Proof } from './decide.ts';
import { ReceiptStatus } from './messages.ts';
import type { QueueCache } from './queue_cache.ts';

export interface MoveResult {
  jobId: string;
  status: ReceiptStatus;
  /** Why it is INVALID. */
  message: string;
}

/** Moves of jobs under one lease. */
export interface MoveRequest {
  leaseId: bigint;
  proof: Proof;
  /** Named jobs; or one move for all that is not settled. */
  moves: { jobId: string; move: Move }[] | Move;
  /**
   * Called once, after the commit. `lease` is the row's mask after it (undefined: there is no such lease), for the
   * memory of whoever holds it.
   */
  done(results: MoveResult[], settled: Bits | undefined): void;
}

/** A request that is ready for the transaction. */
export interface Mendable {
  request: MoveRequest;
  /** The jobs that follow, by the success that they follow. */
  followUps: Map<Move, SubmitRow[]>;
}

/** One job's move with what was decided for it. */
export interface Decided {
  item: Mendable;
  jobId: string;
  move: Move;
  decision: Decision;
  message: string;
}

/** What a flush put back in line, for those who wait for it. */
export interface Returned {
  ready: { queueId: number; priority: number; positionMin: bigint }[];
  /** Jobs whose end concerns others got their outcome. */
  special: boolean;
  /** Milliseconds until the earliest delayed one is due; undefined: none was delayed. */
  delayMs: number | undefined;
  /** When the earliest follow-up job with a time of its own is due, by the database's clock; undefined: there is none. */
  runAtMs: number | undefined;
  /** Jobs that follow-up jobs wait for. */
  awaited: string[];
}

/** What one transaction came to. */
export interface Mended {
  leases: Map<bigint, LockedLease>;
  /** Leases that somebody else has locked: their requests were left out. */
  busy: Set<bigint>;
  decided: Decided[];
  returned: Returned;
}

/** An application ended the job in SQL between our look and our write. */
class EndedMeanwhile extends Error {}

/** What the parts of one flush share while they are written. */
interface Writing {
  run: TransactionRun;
  leases: Map<bigint, LockedLease>;
  followUps: Map<Move, SubmitRow[]>;
  returned: Returned;
}

/**
 * One transaction that locks first, then looks, decides job by job and writes; what the database refuses falls to its
 * savepoint and is split until the culprit stands alone. Nothing is asked on another connection meanwhile: that one may
 * wait for these locks.
 */
export class Mending {
  readonly #store: Store;
  readonly #queues: QueueCache;
  readonly #ttlMs: number;

  constructor(deps: { store: Store; queues: QueueCache; ttlMs: number }) {
    this.#store = deps.store;
    this.#queues = deps.queues;
    this.#ttlMs = deps.ttlMs;
  }

  /** Rejects when nothing of it was committed, or when nobody knows. */
  commit(group: readonly Mendable[]): Promise<Mended> {
    const followUps = new Map(group.flatMap((item) => [...item.followUps]));
    return this.#store.mend(async (run) => {
      const expired = await this.#lockExpired(run, group);
      const { leases, busy } = await this.#lock(run, group);
      const ready = group.filter(({ request }) => !busy.has(request.leaseId));
      const named = ready.map((item) => ({ item, moves: nameMoves(item.request, leases.get(item.request.leaseId)) }));
      const jobIds = [...new Set(named.flatMap(({ moves }) => moves.map(({ jobId }) => jobId)))];
      const facts = jobIds.length === 0 ? new Map<string, JobFacts>() : await this.#store.lookAtJobs(run, jobIds);
      const queues = await this.#queues.byIds(new Set([...facts.values()].map(({ queueId }) => queueId)), run);
      const decided = named.flatMap(({ item, moves }) => {
        const lease = leases.get(item.request.leaseId);
        const proven = lease !== undefined && proves(item.request.proof, lease, expired) ? lease : undefined;
        return moves.map(({ jobId, move }) => decideOne(item, jobId, move, proven, facts.get(jobId), queues));
      });
      const special = [...facts].filter(([, fact]) => fact.special).map(([jobId]) => jobId);
      if (special.length > 0) {
        await this.#store.lockGates(run, special);
      }
      const returned: Returned = { ready: [], special: false, delayMs: undefined, runAtMs: undefined, awaited: [] };
      await this.#write({ run, leases, followUps, returned }, decided.filter(({ decision }) => decision.place !== undefined));
      return { leases, busy, decided, returned };
    });
  }

  /** Given-up coordinators among the proofs, their rows locked: one that comes back waits for us, or makes us wait. */
  async #lockExpired(run: TransactionRun, group: readonly Mendable[]): Promise<ReadonlySet<string>> {
    const dead = group.flatMap(({ request }) => ('deadCoordinatorId' in request.proof ? [request.proof.deadCoordinatorId] : []));
    return dead.length === 0 ? new Set() : this.#store.lockExpired(run, [...new Set(dead)], this.#ttlMs);
  }

  async #lock(run: TransactionRun, group: readonly Mendable[]): Promise<{ leases: Map<bigint, LockedLease>; busy: Set<bigint> }> {
    const giveBack = new Set<bigint>();
    const settle = new Set<bigint>();
    for (const { request } of group) {
      const givesBack = Array.isArray(request.moves) ? request.moves.some(({ move }) => mayReturn(move)) : mayReturn(request.moves);
      (givesBack ? giveBack : settle).add(request.leaseId);
    }
    giveBack.forEach((leaseId) => settle.delete(leaseId));
    // The ones that it waits for come first: so it never waits while it holds others, out of the order of ids.
    const waited = settle.size === 0 ? undefined : await this.#store.lockLeases(run, [...settle], 'settle');
    const skipped = giveBack.size === 0 ? undefined : await this.#store.lockLeases(run, [...giveBack], 'give back');
    return {
      leases: new Map([...(skipped?.locked ?? []), ...(waited?.locked ?? [])]),
      busy: skipped?.busy ?? new Set(),
    };
  }

  /** Writes them together; what the database refuses is rolled back to its savepoint and split. */
  async #write(writing: Writing, decided: Decided[]): Promise<void> {
    const alone = decided.filter(({ move }) => hasFollowUps(move));
    const together = decided.filter(({ move }) => !hasFollowUps(move));
    if (together.length > 0) {
      await this.#writeOrSplit(writing, together);
    }
    for (const item of alone) {
      await this.#writeOrSplit(writing, [item]);
    }
  }

  async #writeOrSplit(writing: Writing, decided: Decided[]): Promise<void> {
    const { run, leases } = writing;
    await run('savepoint part');
    try {
      await this.#writePart(writing, decided);
      await run('release savepoint part');
    } catch (error) {
      // Nothing of the job's own: the whole is tried again, with partitions that are missing, or another look at what has ended.
      if (error instanceof EndedMeanwhile || this.#store.isTransient(error) || this.#store.isMissingPartition(error)) {
        throw error;
      }
      await run('rollback to savepoint part');
      if (decided.length === 1) {
        refuse(decided[0]!, error as Error, leases);
        return;
      }
      const half = decided.length >> 1;
      await this.#writeOrSplit(writing, decided.slice(0, half));
      await this.#writeOrSplit(writing, decided.slice(half));
    }
  }

  async #writePart({ run, leases, followUps, returned }: Writing, decided: Decided[]): Promise<void> {
    const decisions = gather(leases, decided);
    const { ended, positionMin } = await this.#store.writeDecisions(run, decisions);
    for (const item of decided) {
      const { writes } = item.decision;
      // ACCEPTED only for what the outcome insert returned: an SQL completion may have come first.
      if (writes?.outcome !== undefined && !ended.has(item.jobId)) {
        throw new EndedMeanwhile(`The job ${item.jobId} got its outcome from elsewhere.`);
      }
      if (writes !== undefined && hasFollowUps(item.move)) {
        await this.#submitFollowUps(run, followUps.get(item.move)!, returned);
      }
    }
    const special = decided.filter(({ item, decision }) => decision.writes!.returned === undefined && leases.get(item.request.leaseId)!.special);
    const endedHere = special.filter(({ decision }) => decision.writes!.outcome !== undefined);
    if (endedHere.length > 0) {
      setGoing(returned, await this.#store.afterEnd(run, endedHere.map(({ jobId }) => jobId)));
      returned.special = true;
    }
    // An application that ended a job in SQL has counted it, and left the gates to whoever sets its bit.
    const endedInSql = special.filter(({ decision }) => decision.writes!.outcome === undefined);
    if (endedInSql.length > 0) {
      setGoing(returned, await this.#store.leaveGates(run, endedInSql.map(({ jobId }) => jobId)));
    }
    const specialReturns = decisions.returns.filter((row) => row.special);
    if (specialReturns.length > 0) {
      returned.ready.push(...(await this.#store.comeBack(run, specialReturns)));
    }
    for (const row of decisions.returns) {
      if (row.delayMs === 0 && !row.special) {
        returned.ready.push({ queueId: row.queueId, priority: row.priority, positionMin: positionMin! });
      } else if (row.delayMs > 0) {
        returned.delayMs = Math.min(returned.delayMs ?? Infinity, row.delayMs);
      }
    }
  }

  async #submitFollowUps(run: TransactionRun, rows: SubmitRow[], returned: Returned): Promise<void> {
    const { positionMin, effects } = await this.#store.submitFollowUps(run, rows);
    if (effects !== undefined) {
      setGoing(returned, effects.wake);
    }
    for (const { job, queueId } of rows) {
      returned.awaited.push(...(job.options?.after ?? []));
      if (job.runAtMs !== null) {
        returned.runAtMs = Math.min(returned.runAtMs ?? Infinity, job.runAtMs);
      } else if (positionMin !== null) {
        returned.ready.push({ queueId, priority: job.priority, positionMin });
      }
    }
  }
}

function setGoing(returned: Returned, { levels, scheduled }: AfterEnd): void {
  returned.ready.push(...levels);
  if (scheduled) {
    returned.delayMs = 0;
  }
}

const NO_POLICY: RetryPolicy = { maxAttempts: 1, initialMs: 0, factor: 1, maxMs: 0, jitter: 0 };

/** Decides, and lets what was decided stand for the rest of the flush: a job that it names twice counts once. */
function decideOne(
  item: Mendable, jobId: string, move: Move, lease: LockedLease | undefined, facts: JobFacts | undefined, queues: Map<number, QueueSettings>,
): Decided {
  const { leaseId } = item.request;
  const policy = facts === undefined ? NO_POLICY : queues.get(facts.queueId)!.retry;
  const decision = decide({ leaseId, jobId, move }, lease, facts, policy, Math.random());
  if (decision.place !== undefined) {
    lease!.settled.set(decision.place);
  }
  if (decision.writes !== undefined) {
    remember(facts!, leaseId, decision.writes);
  }
  return { item, jobId, move, decision, message: '' };
}

/** A success that brings jobs with it. */
export function hasFollowUps(move: Move): move is Extract<Move, { kind: 'succeed' }> {
  return move.kind === 'succeed' && move.followUps.length > 0;
}

function mayReturn(move: Move): boolean {
  return move.kind === 'release' || move.kind === 'expire' || move.kind === 'time out' || (move.kind === 'fail' && !move.permanent);
}

function nameMoves(request: MoveRequest, lease: LockedLease | undefined): { jobId: string; move: Move }[] {
  const { moves } = request;
  if (Array.isArray(moves)) {
    return moves;
  }
  return (lease?.jobIds ?? []).filter((_, place) => !lease!.settled.has(place)).map((jobId) => ({ jobId, move: moves }));
}

/** The culprit stands alone: the rest commits, and this job stays leased. */
function refuse(decided: Decided, error: Error, leases: Map<bigint, LockedLease>): void {
  leases.get(decided.item.request.leaseId)!.settled.clear(decided.decision.place!);
  decided.decision = { status: ReceiptStatus.INVALID, place: undefined, writes: undefined };
  decided.message = `The database refused it: ${error.message}`.slice(0, 500);
}

function gather(leases: Map<bigint, LockedLease>, decided: Decided[]): Decisions {
  const added = new Map<bigint, Bits>();
  const decisions: Decisions = { masks: [], outcomes: [], attempts: [], returns: [] };
  for (const { item, decision } of decided) {
    const { writes } = decision;
    const { leaseId } = item.request;
    let bits = added.get(leaseId);
    if (bits === undefined) {
      bits = new Bits(leases.get(leaseId)!.jobIds.length);
      added.set(leaseId, bits);
    }
    bits.set(decision.place!);
    if (writes?.outcome !== undefined) {
      decisions.outcomes.push(writes.outcome);
    }
    if (writes?.attempt !== undefined) {
      decisions.attempts.push(writes.attempt);
    }
    if (writes?.returned !== undefined) {
      decisions.returns.push(writes.returned);
    }
  }
  decisions.masks = [...added].map(([leaseId, add]) => ({ leaseId, add }));
  return decisions;
}
