import type { Clock } from '../clock.ts';
import type { Metrics } from '../observe/metrics.ts';
import type { Store } from '../store/store.ts';
import { Batcher } from './batcher.ts';
import type { Writes } from './decide.ts';
import { hasFollowUps, Mending, type Mendable, type Mended, type MoveRequest, type MoveResult, type Returned } from './mending.ts';
import type { QueueCache } from './queue_cache.ts';
import type { Sweeper } from './sweeper.ts';

/** Moves of one flush. */
const FLUSH_MOVES_MAX = 2_000;
const RETRY_MS_MIN = 20;
const RETRY_MS_MAX = 1_000;

interface Pending extends Mendable {
  tries: number;
  /** Its lease was locked by somebody, or its group failed: it goes alone. */
  alone: boolean;
}

/**
 * All that ends or gives back a lease's jobs, other than plain success: failed attempts, releases, expiry, and successes
 * that the fast settle refused. Requests that come together share a transaction (mending.ts); what failed or met a lock is
 * tried again until it is decided.
 */
export class Mender {
  readonly #store: Store;
  readonly #queues: QueueCache;
  readonly #metrics: Metrics;
  readonly #clock: Clock;
  readonly #sweeper: Sweeper;
  readonly #mending: Mending;
  readonly #returned: (returned: Returned) => void;
  readonly #ended: (jobs: { jobId: string }[]) => void;
  readonly #roomIn: (queueId: number) => void;
  readonly #batcher: Batcher<Pending>;
  readonly #later = new Set<NodeJS.Timeout>();
  /** What this coordinator wants by itself and is not decided yet. It asks at each tick, and the database may be slow: once is enough. */
  readonly #own = new Set<string>();
  #closed = false;

  constructor(deps: {
    store: Store; queues: QueueCache; metrics: Metrics; clock: Clock; sweeper: Sweeper; ttlMs: number; returned: (returned: Returned) => void;
    ended: (jobs: { jobId: string }[]) => void;
    /** Jobs of this queue run no more. */
    roomIn: (queueId: number) => void;
  }) {
    this.#store = deps.store;
    this.#queues = deps.queues;
    this.#metrics = deps.metrics;
    this.#clock = deps.clock;
    this.#sweeper = deps.sweeper;
    this.#mending = new Mending(deps);
    this.#returned = deps.returned;
    this.#ended = deps.ended;
    this.#roomIn = deps.roomIn;
    this.#batcher = new Batcher((items) => this.#flush(items), FLUSH_MOVES_MAX, (item) => weight(item.request));
  }

  add(request: MoveRequest): void {
    const key = ownKey(request);
    if (!this.#closed && !(key !== undefined && this.#own.has(key))) {
      if (key !== undefined) {
        this.#own.add(key);
      }
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
        this.#answer(group, await this.#mending.commit(group));
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

  #answer(group: Pending[], flush: Mended): void {
    const results = new Map<Mendable, MoveResult[]>(group.map((pending) => [pending, []]));
    for (const { item, jobId, decision, message } of flush.decided) {
      results.get(item)!.push({ jobId, status: decision.status, message });
      if (decision.writes !== undefined) {
        this.#count(decision.writes, flush.leases.get(item.request.leaseId)!.queueId);
      }
    }
    for (const lease of flush.leases.values()) {
      this.#roomIn(lease.queueId);
      if (lease.settled.full) {
        this.#sweeper.add(lease.leaseId);
      }
    }
    this.#returned(flush.returned);
    this.#ended(flush.decided.filter(({ decision }) => decision.writes !== undefined && decision.writes.returned === undefined));
    for (const pending of group) {
      if (flush.busy.has(pending.request.leaseId)) {
        this.#again(pending);
      } else {
        this.#own.delete(ownKey(pending.request) ?? '');
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

/** Of a move of a whole lease, which nobody waits for; undefined: it is a report, or of one job. */
function ownKey({ leaseId, proof, moves }: MoveRequest): string | undefined {
  return Array.isArray(moves) ? undefined : [leaseId, moves.kind, ...Object.values<string | bigint>(proof)].join(' ');
}

function weight(request: MoveRequest): number {
  // How many jobs an unnamed move touches is known under the lock only; a lease holds 500 as a rule.
  return Array.isArray(request.moves) ? request.moves.length : 500;
}
