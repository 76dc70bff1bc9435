import type { Bits } from '../bits.ts';
import type { Store } from '../store/store.ts';
import type { CancelledLeasedJob } from './engine.ts';
import { CancelReason } from './messages.ts';
import type { Sessions } from './sessions.ts';

/** A claim or a hello whose answer is slower than this has its workers told by the next scan. */
const EARLY_TRIES_MAX = 20;
const EARLY_RETRY_MS = 25;
/** Those beyond are left to the scan. */
const EARLY_JOBS_MAX = 10_000;
/** Jobs that are asked about in one look, of those that were settled unseen. */
const UNSEEN_MAX = 10_000;

type CancelledHere = Omit<CancelledLeasedJob, 'coordinatorId'>;

/**
 * Tells workers whose sessions are here that jobs they hold were cancelled in the database. Word of a cancel may be quicker
 * than the answer of the claim, or of the hello, that brings its lease here: then it is looked for again, for half a second.
 */
export class Cancels {
  readonly #coordinatorId: string;
  readonly #store: Store;
  readonly #sessions: Sessions;
  readonly #roomMade: () => void;
  #early: { job: CancelledHere; tries: number }[] = [];
  #timer: NodeJS.Timeout | undefined;

  constructor(deps: { coordinatorId: string; store: Store; sessions: Sessions; roomMade: () => void }) {
    this.#coordinatorId = deps.coordinatorId;
    this.#store = deps.store;
    this.#sessions = deps.sessions;
    this.#roomMade = deps.roomMade;
  }

  /** Jobs that were cancelled under leases of this coordinator. */
  tell(jobs: CancelledHere[]): void {
    this.#tell(jobs.map((job) => ({ job, tries: 0 })));
  }

  /** The guarantee behind hints that were lost: looks for what was cancelled in the database under leases that are here. */
  async look(): Promise<void> {
    const unseen = this.#settledUnseen(await this.#store.ownMasks(this.#coordinatorId)).slice(0, UNSEEN_MAX);
    if (unseen.length > 0) {
      const cancelled = await this.#store.cancelledUnder(unseen);
      this.tell(cancelled.map(({ index, reason }) => ({ ...unseen[index]!, leaseId: String(unseen[index]!.leaseId), reason })));
    }
  }

  close(): void {
    clearTimeout(this.#timer);
    this.#early = [];
  }

  #tell(told: { job: CancelledHere; tries: number }[]): void {
    const early = told.filter(({ job, tries }) => !this.#stop(job) && tries < EARLY_TRIES_MAX);
    this.#early.push(...early.slice(0, EARLY_JOBS_MAX - this.#early.length).map(({ job, tries }) => ({ job, tries: tries + 1 })));
    if (this.#early.length > 0) {
      this.#timer ??= setTimeout(() => {
        this.#timer = undefined;
        this.#tell(this.#early.splice(0));
      }, EARLY_RETRY_MS).unref();
    }
    this.#roomMade();
  }

  /** Whether the lease is here. */
  #stop({ sessionId, leaseId, jobId, reason }: CancelledHere): boolean {
    const session = this.#sessions.get(sessionId);
    const lease = session?.leases.get(BigInt(leaseId));
    if (session === undefined || lease === undefined) {
      return false;
    }
    const place = lease.jobIds.indexOf(jobId);
    if (!lease.settled.has(place)) {
      session.port?.cancel({ token: lease.token, jobIds: [jobId], reason: CancelReason.JOB_CANCELLED, message: reason });
      session.settled(lease, [place]);
    }
    return true;
  }
  /** Jobs that are settled in the database, or whose lease is gone there, and that we take for held: ended elsewhere, or at this moment. */
  #settledUnseen(masks: ReadonlyMap<bigint, Bits>): { sessionId: string; leaseId: bigint; jobId: string }[] {
    const unseen: { sessionId: string; leaseId: bigint; jobId: string }[] = [];
    for (const session of this.#sessions.all()) {
      for (const { leaseId, jobIds, settled } of session.leases.values()) {
        const mask = masks.get(leaseId);
        if (mask === undefined || mask.count > settled.count) {
          unseen.push(...jobIds.filter((_, place) => !settled.has(place) && mask?.has(place) !== false).map((jobId) => ({ sessionId: session.id, leaseId, jobId })));
        }
      }
    }
    return unseen;
  }
}
