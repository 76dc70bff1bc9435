import type { Clock } from '../clock.ts';
import type { Metrics } from '../observe/metrics.ts';
import type { Store, TransactionRun } from '../store/store.ts';
import type { Decisions, JobFacts, LockedLease } from '../store/settle_carefully.ts';
import type { SubmitRow } from '../store/submit.ts';
import { Batcher } from './batcher.ts';
import { Bits } from '../bits.ts';
import { decide, proves, remember, type Decision, type Move, type Proof, type Writes } from './decide.ts';
import { ReceiptStatus } from './messages.ts';
import type { QueueCache } from './queue_cache.ts';
import type { Sweeper } from './sweeper.ts';
import type { RetryPolicy } from '../types.ts';

/** Moves of one flush. */
const FLUSH_MOVES_MAX = 2_000;
const RETRY_MS_MIN = 20;
const RETRY_MS_MAX = 1_000;

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

interface Pending {
  request: MoveRequest;
  tries: number;
  /** Its lease was locked by somebody, or its group failed: it goes alone. */
  alone: boolean;
  /** The jobs that follow, by the success that they follow. */
  followUps: Map<Move, SubmitRow[]>;
}

/** One job's move with what was decided for it. */
interface Decided {
  pending: Pending;
  jobId: string;
  move: Move;
  decision: Decision;
  message: string;
}

/** What a flush put back in line, for those who wait for it. */
export interface Returned {
  ready: { queueId: number; priority: number; positionMin: bigint }[];
  /** Milliseconds until the earliest delayed one is due; undefined: none was delayed. */
  delayMs: number | undefined;
  /** When the earliest follow-up job with a time of its own is due, by the database's clock; undefined: there is none. */
  runAtMs: number | undefined;
}

/** What the parts of one flush share while they are written. */
interface Writing {
  run: TransactionRun;
  leases: Map<bigint, LockedLease>;
  followUps: Map<Move, SubmitRow[]>;
  returned: Returned;
}

/**
 * All that ends or gives back a lease's jobs, other than plain success: failed attempts, releases, expiry, and successes
 * that the fast settle refused. Locks first, then looks, decides job by job, writes, commits; what the database refuses
 * falls to its savepoint and is split until the culprit stands alone.
 */
export class Mender {
  readonly #store: Store;
  readonly #queues: QueueCache;
  readonly #metrics: Metrics;
  readonly #clock: Clock;
  readonly #sweeper: Sweeper;
  readonly #ttlMs: number;
  readonly #returned: (returned: Returned) => void;
  readonly #batcher: Batcher<Pending>;
  readonly #later = new Set<NodeJS.Timeout>();
  #closed = false;

  constructor(deps: {
    store: Store; queues: QueueCache; metrics: Metrics; clock: Clock; sweeper: Sweeper; ttlMs: number; returned: (returned: Returned) => void;
  }) {
    this.#store = deps.store;
    this.#queues = deps.queues;
    this.#metrics = deps.metrics;
    this.#clock = deps.clock;
    this.#sweeper = deps.sweeper;
    this.#ttlMs = deps.ttlMs;
    this.#returned = deps.returned;
    this.#batcher = new Batcher((items) => this.#flush(items), FLUSH_MOVES_MAX, (item) => weight(item.request));
  }

  get waitingMoves(): number {
    return this.#batcher.waitingWeight;
  }

  add(request: MoveRequest): void {
    if (!this.#closed) {
      this.#batcher.add({ request, tries: 0, alone: false, followUps: new Map() });
    }
  }

  /** Resolves when what was added has been tried once. */
  idle(): Promise<void> {
    return this.#batcher.idle();
  }

  close(): void {
    this.#closed = true;
    this.#later.forEach(clearTimeout);
  }

  async #flush(items: Pending[]): Promise<void> {
    const ready = items.filter((item) => this.#prepare(item));
    const groups = ready.some((item) => item.alone) || ready.length === 0 ? ready.map((item) => [item]) : [ready];
    for (const group of groups) {
      try {
        await this.#commit(group);
      } catch (error) {
        this.#metrics.error('MEND_FAILED');
        this.#store.log.warn({ err: error, requests: group.length }, 'settling carefully failed; it is tried again');
        // A lock or a dead connection: everything is decided anew, and its keys make a repeat harmless.
        group.forEach((item) => {
          item.alone ||= this.#store.isLocked(error);
          this.#again(item);
        });
      }
    }
  }

  /** Jobs that follow need their queues' numbers. Where a queue is new the item comes back once it is made; nobody waits for it. */
  #prepare(item: Pending): boolean {
    const { moves } = item.request;
    const successes = (Array.isArray(moves) ? moves : []).map(({ move }) => move).filter(hasFollowUps);
    for (const success of successes) {
      const rows = this.#queues.knownRows(success.followUps);
      if (rows === undefined) {
        this.#queues.rows(successes.flatMap(({ followUps }) => followUps)).then(() => this.#batcher.add(item), () => this.#again(item));
        return false;
      }
      item.followUps.set(success, rows);
    }
    return true;
  }

  #again(item: Pending): void {
    if (this.#closed) {
      return;
    }
    item.tries += 1;
    item.alone ||= item.tries > 1;
    const timer = this.#clock.after(Math.min(RETRY_MS_MAX, RETRY_MS_MIN * 2 ** Math.min(item.tries, 6)), () => {
      this.#later.delete(timer);
      this.#batcher.add(item);
    });
    this.#later.add(timer);
  }

  async #commit(group: Pending[]): Promise<void> {
    const followUps = new Map(group.flatMap((pending) => [...pending.followUps]));
    // Within the transaction, which holds locks, nothing is asked on another connection: that one may wait for these locks.
    const flush = await this.#store.mend(async (run) => {
      const expired = await this.#lockExpired(run, group);
      const { leases, busy } = await this.#lock(run, group);
      const ready = group.filter(({ request }) => !busy.has(request.leaseId));
      const named = ready.map((pending) => ({ pending, moves: nameMoves(pending.request, leases.get(pending.request.leaseId)) }));
      const jobIds = [...new Set(named.flatMap(({ moves }) => moves.map(({ jobId }) => jobId)))];
      const facts = jobIds.length === 0 ? new Map<string, JobFacts>() : await this.#store.lookAtJobs(run, jobIds);
      const queues = await this.#queues.byIds(new Set([...facts.values()].map(({ queueId }) => queueId)), run);
      const decided: Decided[] = [];
      for (const { pending, moves } of named) {
        const lease = leases.get(pending.request.leaseId);
        const proven = lease !== undefined && proves(pending.request.proof, lease, expired) ? lease : undefined;
        for (const { jobId, move } of moves) {
          const fact = facts.get(jobId);
          const policy = fact === undefined ? NO_POLICY : queues.get(fact.queueId)!.retry;
          const decision = decide({ leaseId: pending.request.leaseId, jobId, move }, proven, fact, policy, Math.random());
          // The bit is taken at once: a job that one flush names twice counts once.
          if (decision.place !== undefined) {
            proven!.settled.set(decision.place);
          }
          if (decision.writes !== undefined) {
            remember(facts.get(jobId)!, pending.request.leaseId, decision.writes);
          }
          decided.push({ pending, jobId, move, decision, message: '' });
        }
      }
      const returned: Returned = { ready: [], delayMs: undefined, runAtMs: undefined };
      await this.#write({ run, leases, followUps, returned }, decided.filter(({ decision }) => decision.place !== undefined));
      return { leases, busy, decided, returned };
    });
    this.#answer(group, flush);
  }

  /** Given-up coordinators among the proofs, their rows locked: one that comes back waits for us, or makes us wait. */
  async #lockExpired(run: TransactionRun, group: Pending[]): Promise<ReadonlySet<string>> {
    const dead = group.flatMap(({ request }) => ('deadCoordinatorId' in request.proof ? [request.proof.deadCoordinatorId] : []));
    return dead.length === 0 ? new Set() : this.#store.lockExpired(run, [...new Set(dead)], this.#ttlMs);
  }

  async #lock(run: TransactionRun, group: Pending[]): Promise<{ leases: Map<bigint, LockedLease>; busy: Set<bigint> }> {
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
    const together = decided.filter((item) => !alone.includes(item));
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
      // Nothing of the job's own: the whole is tried again, with partitions that are missing.
      if (this.#store.isTransient(error) || this.#store.isMissingPartition(error)) {
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
        throw new Error(`The job ${item.jobId} got its outcome from elsewhere.`);
      }
      if (writes !== undefined && hasFollowUps(item.move)) {
        await this.#submitFollowUps(run, followUps.get(item.move)!, returned);
      }
    }
    for (const row of decisions.returns) {
      if (row.delayMs === 0) {
        returned.ready.push({ queueId: row.queueId, priority: row.priority, positionMin: positionMin! });
      } else {
        returned.delayMs = Math.min(returned.delayMs ?? Infinity, row.delayMs);
      }
    }
  }

  async #submitFollowUps(run: TransactionRun, rows: SubmitRow[], returned: Returned): Promise<void> {
    const positionMin = await this.#store.submitFollowUps(run, rows);
    for (const { job, queueId } of rows) {
      if (job.runAtMs !== null) {
        returned.runAtMs = Math.min(returned.runAtMs ?? Infinity, job.runAtMs);
      } else if (positionMin !== null) {
        returned.ready.push({ queueId, priority: job.priority, positionMin });
      }
    }
  }

  #answer(group: Pending[], flush: { leases: Map<bigint, LockedLease>; busy: Set<bigint>; decided: Decided[]; returned: Returned }): void {
    const results = new Map<Pending, MoveResult[]>(group.map((pending) => [pending, []]));
    for (const item of flush.decided) {
      results.get(item.pending)!.push({ jobId: item.jobId, status: item.decision.status, message: item.message });
      if (item.decision.writes !== undefined) {
        this.#count(item.decision.writes, flush.leases.get(item.pending.request.leaseId)!.queueId);
      }
    }
    for (const lease of flush.leases.values()) {
      if (lease.settled.full) {
        this.#sweeper.add(lease.leaseId);
      }
    }
    this.#returned(flush.returned);
    for (const pending of group) {
      if (flush.busy.has(pending.request.leaseId)) {
        this.#again(pending);
      } else {
        pending.request.done(results.get(pending)!, flush.leases.get(pending.request.leaseId)?.settled);
      }
    }
  }

  #count(writes: Writes, queueId: number): void {
    const queue = this.#queues.nameOf(queueId);
    if (writes.effect === 'expired') {
      this.#metrics.expiredJobs(queue, 1);
      if (writes.outcome !== undefined) {
        this.#metrics.completedJobs(queue, 'failed', 1);
      }
    } else {
      this.#metrics.completedJobs(queue, writes.effect, 1);
    }
  }
}

const NO_POLICY: RetryPolicy = { maxAttempts: 1, initialMs: 0, factor: 1, maxMs: 0, jitter: 0 };

function weight(request: MoveRequest): number {
  // How many jobs an unnamed move touches is known under the lock only; a lease holds 500 as a rule.
  return Array.isArray(request.moves) ? request.moves.length : 500;
}

function hasFollowUps(move: Move): move is Extract<Move, { kind: 'succeed' }> {
  return move.kind === 'succeed' && move.followUps.length > 0;
}

function mayReturn(move: Move): boolean {
  return move.kind === 'release' || move.kind === 'expire' || (move.kind === 'fail' && !move.permanent);
}

function nameMoves(request: MoveRequest, lease: LockedLease | undefined): { jobId: string; move: Move }[] {
  const { moves } = request;
  if (Array.isArray(moves)) {
    return moves;
  }
  return (lease?.jobIds ?? []).filter((_, place) => !lease!.settled.has(place)).map((jobId) => ({ jobId, move: moves }));
}

/** The culprit stands alone: the rest commits, and this job stays leased. */
function refuse(item: Decided, error: Error, leases: Map<bigint, LockedLease>): void {
  leases.get(item.pending.request.leaseId)!.settled.clear(item.decision.place!);
  item.decision = { status: ReceiptStatus.INVALID, place: undefined, writes: undefined };
  item.message = `The database refused it: ${error.message}`.slice(0, 500);
}

function gather(leases: Map<bigint, LockedLease>, decided: Decided[]): Decisions {
  const added = new Map<bigint, Bits>();
  const decisions: Decisions = { masks: [], outcomes: [], attempts: [], returns: [] };
  for (const { pending, decision } of decided) {
    const { writes } = decision;
    const { leaseId } = pending.request;
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
