import type { Clock } from '../clock.ts';
import { jobBytes } from '../job_bytes.ts';
import { REPORT_WAITING_BYTES_MAX, REPORT_WAITING_OUTCOMES_MAX } from '../limits.ts';
import type { Metrics } from '../observe/metrics.ts';
import type { LeaseSettle, SucceededRow } from '../store/settle.ts';
import type { Store } from '../store/store.ts';
import { Batcher } from './batcher.ts';
import { Bits } from '../bits.ts';
import type { Move } from './decide.ts';
import type { HeldLease } from './held_lease.ts';
import type { Mender } from './mender.ts';
import type { MoveResult } from './mending.ts';
import { ReceiptStatus, type JobReceiptMessage } from './messages.ts';
import type { QueueCache } from './queue_cache.ts';
import type { Session } from './session.ts';
import type { Sweeper } from './sweeper.ts';
import type { Token } from './token.ts';

/** Outcomes that one flush commits together. */
const FLUSH_OUTCOMES_MAX = 5_000;
const RETRY_MS_MIN = 50;
const RETRY_MS_MAX = 1_000;

/** One job of a report, checked by `rpc/`: a move, or why it is refused before it reaches the database. */
export interface ReportedJob {
  jobId: string;
  move: Move | { refused: string };
}

/** Successes of one report under a lease that this session holds: what the fast settle takes. */
interface FastPart {
  session: Session;
  lease: HeldLease;
  /** Places in the lease, and the index of each in the report. */
  places: number[];
  indexes: number[];
  jobs: ReportedJob[];
  receipts: JobReceiptMessage[];
  /** Called when every job of the part has its receipt. */
  done: () => void;
}

/** Commits reports of all sessions together, and answers each when it is committed. */
export class Settler {
  readonly #store: Store;
  readonly #mender: Mender;
  readonly #metrics: Metrics;
  readonly #clock: Clock;
  readonly #queues: QueueCache;
  readonly #sweeper: Sweeper;
  readonly #roomMade: () => void;
  readonly #ended: (jobs: { jobId: string }[]) => void;
  readonly #roomIn: (queueId: number) => void;
  readonly #counted: () => void;
  readonly #batcher: Batcher<FastPart>;
  #waitingOutcomes = 0;
  #waitingBytes = 0;
  #closed = false;

  constructor(deps: {
    store: Store; mender: Mender; metrics: Metrics; clock: Clock; queues: QueueCache; sweeper: Sweeper; roomMade: () => void;
    ended: (jobs: { jobId: string }[]) => void;
    /** Jobs of this queue run no more. */
    roomIn: (queueId: number) => void;
    /** Batches counted some of them. */
    counted: () => void;
  }) {
    this.#store = deps.store;
    this.#mender = deps.mender;
    this.#metrics = deps.metrics;
    this.#clock = deps.clock;
    this.#queues = deps.queues;
    this.#sweeper = deps.sweeper;
    this.#roomMade = deps.roomMade;
    this.#ended = deps.ended;
    this.#roomIn = deps.roomIn;
    this.#counted = deps.counted;
    this.#batcher = new Batcher((parts) => this.#flush(parts), FLUSH_OUTCOMES_MAX, (part) => part.places.length);
  }

  /** Outcomes that wait for their commit, by whichever way. */
  get waitingOutcomes(): number {
    return this.#waitingOutcomes;
  }

  /** As many wait as this coordinator wants to hold. */
  get isFull(): boolean {
    return this.#waitingOutcomes >= REPORT_WAITING_OUTCOMES_MAX || this.#waitingBytes >= REPORT_WAITING_BYTES_MAX;
  }

  /** `answer` gets a receipt for each job, in the report's order, once all of them are decided and committed. */
  report(session: Session, token: Token | undefined, jobs: ReportedJob[], answer: (receipts: JobReceiptMessage[]) => void): void {
    const receipts = Array.from<JobReceiptMessage>({ length: jobs.length });
    const lease = token === undefined ? undefined : session.leases.get(token.leaseId);
    const known = lease !== undefined && lease.secret === token!.secret ? lease : undefined;
    const places: number[] = [];
    const fast: number[] = [];
    const careful: number[] = [];
    const nowMs = this.#clock.nowMs();
    let bytes = 0;
    for (let index = 0; index < jobs.length; index += 1) {
      const { jobId, move } = jobs[index]!;
      bytes += moveBytes(move);
      if ('refused' in move) {
        receipts[index] = receipt(jobId, ReceiptStatus.INVALID, move.refused);
      } else if (token === undefined) {
        receipts[index] = receipt(jobId, ReceiptStatus.LEASE_LOST);
      } else {
        // null: more than a count depends on the job's end.
        const plain = known !== undefined && move.kind === 'succeed' && move.followUps.length === 0 && known.specials?.get(jobId) !== null;
        const place = plain ? known.place(jobId) : -1;
        if (place >= 0 && known!.taken.set(place)) {
          places.push(place);
          fast.push(index);
        } else {
          careful.push(index);
        }
      }
    }
    this.#waitingOutcomes += jobs.length;
    this.#waitingBytes += bytes;
    let parts = (fast.length > 0 ? 1 : 0) + (careful.length > 0 ? 1 : 0);
    const done = () => {
      parts -= 1;
      if (parts <= 0) {
        this.#waitingOutcomes -= jobs.length;
        this.#waitingBytes -= bytes;
        this.#countReceipts(receipts);
        answer(receipts);
      }
    };
    if (known !== undefined) {
      this.#metrics.ran((nowMs - known.grantedMs) / 1000, jobs.length);
    }
    if (parts === 0) {
      done();
    }
    if (fast.length > 0) {
      this.#batcher.add({ session, lease: known!, places, indexes: fast, jobs, receipts, done });
    }
    if (careful.length > 0) {
      this.#settleCarefully(session, token!, careful, jobs, receipts, done, known === undefined);
    }
  }

  /** Resolves when every report so far is committed or handed to the mender. */
  idle(): Promise<void> {
    return this.#batcher.idle();
  }

  close(): void {
    this.#closed = true;
  }

  async #flush(all: FastPart[]): Promise<void> {
    const { parts, repeats, leases, rows } = gather(all);
    repeats.forEach((part) => this.#settlePartCarefully(part));
    const started = this.#clock.nowMs();
    let accepted: Set<string> | undefined;
    try {
      accepted = await this.#settle(leases, rows);
    } catch (error) {
      if (!this.#store.isRefused(error)) {
        this.#store.log.warn({ err: error, outcomes: rows.length }, 'a flush of reports was refused; it is settled job by job');
      }
      parts.forEach((part) => this.#settlePartCarefully(part));
      return;
    }
    this.#metrics.settle((this.#clock.nowMs() - started) / 1000, rows.length);
    for (const { session, lease, places } of parts) {
      session.settled(lease, places);
      this.#roomIn(lease.queueId);
      if (lease.settled.full) {
        this.#sweeper.add(lease.leaseId);
      }
    }
    this.#roomMade();
    parts.forEach((part) => this.#answer(part, accepted));
    this.#ended(rows);
    if (rows.some(({ batchId }) => batchId !== null)) {
      this.#counted();
    }
  }

  /** Until the database takes it or refuses it: what workers have reported is not forgotten while it is away. */
  async #settle(leases: Map<bigint, LeaseSettle>, rows: SucceededRow[]): Promise<Set<string> | undefined> {
    const finished = this.#sweeper.take();
    for (let tries = 0; ; tries += 1) {
      try {
        return await this.#store.settle([...leases.values()], rows, finished);
      } catch (error) {
        // After a lost connection the commit may have happened: then the masks differ, and the careful way finds out.
        // Nor is a lock waited for again with everybody in tow.
        if (!this.#store.isTransient(error) || this.#store.isLocked(error) || this.#closed) {
          finished.forEach((leaseId) => this.#sweeper.add(leaseId));
          throw error;
        }
        this.#metrics.error('SETTLE_FAILED');
        await new Promise<void>((resolve) => {
          setTimeout(resolve, Math.min(RETRY_MS_MAX, RETRY_MS_MIN * 2 ** Math.min(tries, 5)));
        });
      }
    }
  }

  #answer(part: FastPart, accepted: Set<string> | undefined): void {
    const before: number[] = [];
    for (const index of part.indexes) {
      const { jobId } = part.jobs[index]!;
      if (accepted === undefined || accepted.has(jobId)) {
        part.receipts[index] = receipt(jobId, ReceiptStatus.ACCEPTED);
      } else {
        before.push(index);
      }
    }
    const ended = part.indexes.length - before.length;
    this.#metrics.completedJobs(this.#queues.nameOf(part.lease.queueId), 'succeeded', ended);
    if (before.length === 0) {
      part.done();
    } else {
      // They had an outcome before: completed in SQL, or cancelled at this very moment.
      this.#settleCarefully(part.session, part.lease, before, part.jobs, part.receipts, () => {
        const inSql = before.filter((index) => part.receipts[index]!.status === ReceiptStatus.DUPLICATE).length;
        this.#metrics.completedJobs(this.#queues.nameOf(part.lease.queueId), 'succeeded', inSql);
        part.done();
      });
    }
  }

  #settlePartCarefully({ session, lease, indexes, jobs, receipts, done }: FastPart): void {
    this.#settleCarefully(session, lease, indexes, jobs, receipts, done);
  }

  /** `unknown`: this session does not hold the lease, so it must have been its worker's before. */
  #settleCarefully(
    session: Session, token: Token, indexes: number[], jobs: ReportedJob[], receipts: JobReceiptMessage[], done: () => void, unknown = false,
  ): void {
    this.#mender.add({
      leaseId: token.leaseId,
      proof: unknown && session.identity !== '' ? { secret: token.secret, identity: session.identity } : { secret: token.secret },
      moves: indexes.map((index) => ({ jobId: jobs[index]!.jobId, move: jobs[index]!.move as Move })),
      done: (results, settled) => {
        results.forEach((result: MoveResult, order: number) => {
          receipts[indexes[order]!] = receipt(result.jobId, result.status, result.message);
        });
        learn(session, token.leaseId, results, settled);
        this.#roomMade();
        done();
      },
    });
  }

  #countReceipts(receipts: JobReceiptMessage[]): void {
    const counts = [0, 0, 0, 0, 0, 0];
    for (const { status } of receipts) {
      counts[status]! += 1;
    }
    RECEIPT_NAMES.forEach((name, status) => {
      if (name !== undefined && counts[status]! > 0) {
        this.#metrics.receipts(name, counts[status]!);
      }
    });
  }
}

const RECEIPT_NAMES = [undefined, 'accepted', 'duplicate', 'lease_lost', 'cancelled', 'invalid'] as const;

interface Gathered {
  parts: FastPart[];
  /** Their lease is in the flush already, as another session knows it that was resumed or replaced: they may name the same jobs. */
  repeats: FastPart[];
  leases: Map<bigint, LeaseSettle>;
  rows: SucceededRow[];
}

function gather(all: FastPart[]): Gathered {
  const held = new Map<bigint, HeldLease>();
  const leases = new Map<bigint, LeaseSettle>();
  const parts: FastPart[] = [];
  const repeats: FastPart[] = [];
  const rows: SucceededRow[] = [];
  for (const part of all) {
    const { lease } = part;
    let settling = leases.get(lease.leaseId);
    if (settling === undefined) {
      settling = { leaseId: lease.leaseId, secret: lease.secret, expected: lease.settled.copy(), add: new Bits(lease.jobIds.length) };
      leases.set(lease.leaseId, settling);
      held.set(lease.leaseId, lease);
    } else if (held.get(lease.leaseId) !== lease) {
      repeats.push(part);
      continue;
    }
    parts.push(part);
    for (let order = 0; order < part.places.length; order += 1) {
      const place = part.places[order]!;
      const { jobId, move } = part.jobs[part.indexes[order]!]!;
      const { result, resultType } = move as Extract<Move, { kind: 'succeed' }>;
      settling.add.set(place);
      rows.push({ jobId, leaseId: lease.leaseId, attempt: lease.attempts[place]!, result, resultType, batchId: lease.specials?.get(jobId) ?? null });
    }
  }
  // Leases are locked in id order, everywhere.
  return { parts, repeats, leases: new Map([...leases].sort(([a], [b]) => (a < b ? -1 : 1))), rows };
}

/** What the careful way found out about a lease, for the memory of its session. */
function learn(session: Session, leaseId: bigint, results: MoveResult[], settled: Bits | undefined): void {
  const lease = session.leases.get(leaseId);
  if (lease === undefined) {
    return;
  }
  if (settled === undefined) {
    session.drop(lease);
    return;
  }
  session.settled(lease, [...lease.jobIds.keys()].filter((place) => settled.has(place)));
  for (const { jobId, status } of results) {
    if (status === ReceiptStatus.INVALID) {
      lease.taken.clear(lease.jobIds.indexOf(jobId));
    }
  }
}

/** What a move weighs in our memory beside its job's id, about. */
function moveBytes(move: ReportedJob['move']): number {
  if ('refused' in move || (move.kind !== 'succeed' && move.kind !== 'fail')) {
    return 0;
  }
  return move.kind === 'succeed'
    ? (move.result?.length ?? 0) + move.followUps.reduce((sum, job) => sum + jobBytes(job), 0)
    : move.message.length + move.details.length;
}

function receipt(jobId: string, status: ReceiptStatus, message = ''): JobReceiptMessage {
  return { jobId, status, message };
}
