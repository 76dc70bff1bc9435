import type { Clock } from '../clock.ts';
import type { HeldLease } from './held_lease.ts';
import type { Mender } from './mender.ts';
import { CancelReason, ReceiptStatus } from './messages.ts';
import type { Session } from './session.ts';
import type { Sessions } from './sessions.ts';

/** A worker that keeps the time itself reports first. */
const GRACE_MS = 2_000;

interface Head {
  lease: HeldLease;
  place: number;
  sinceMs: number;
}

/**
 * Ends attempts that take longer than their jobs allow, for workers that do not do so themselves. When a job that waits in a
 * worker's window is started, only the worker knows; but it starts them in the order in which they came, so the oldest one
 * that it has not reported runs for sure. Its time is counted from when it became the oldest: never too short.
 */
export class Timeouts {
  readonly #coordinatorId: string;
  readonly #sessions: Sessions;
  readonly #mender: Mender;
  readonly #clock: Clock;
  readonly #roomMade: () => void;
  readonly #heads = new WeakMap<Session, Head>();

  constructor(deps: { coordinatorId: string; sessions: Sessions; mender: Mender; clock: Clock; roomMade: () => void }) {
    this.#coordinatorId = deps.coordinatorId;
    this.#sessions = deps.sessions;
    this.#mender = deps.mender;
    this.#clock = deps.clock;
    this.#roomMade = deps.roomMade;
  }

  /** On each tick. */
  check(): void {
    const nowMs = this.#clock.nowMs();
    for (const session of this.#sessions.all()) {
      const [lease] = session.leases.values();
      if (lease?.timeoutsMs !== undefined && session.port !== undefined) {
        this.#checkOldest(session, lease, nowMs);
      }
    }
  }

  #checkOldest(session: Session, lease: HeldLease, nowMs: number): void {
    const place = lease.jobIds.findIndex((_, index) => !lease.taken.has(index));
    const before = this.#heads.get(session);
    if (place < 0) {
      this.#heads.delete(session);
    } else if (before?.lease !== lease || before.place !== place) {
      this.#heads.set(session, { lease, place, sinceMs: nowMs });
    } else {
      const timeoutMs = lease.timeoutsMs![place] ?? null;
      if (timeoutMs !== null && nowMs - before.sinceMs > timeoutMs + GRACE_MS) {
        this.#heads.delete(session);
        this.#end(session, lease, place, timeoutMs);
      }
    }
  }

  #end(session: Session, lease: HeldLease, place: number, timeoutMs: number): void {
    const jobId = lease.jobIds[place]!;
    this.#mender.add({
      leaseId: lease.leaseId,
      proof: { coordinatorId: this.#coordinatorId, sessionId: session.id },
      moves: [{ jobId, move: { kind: 'time out', timeoutMs } }],
      done: ([result]) => {
        if (result?.status === ReceiptStatus.ACCEPTED) {
          session.port?.cancel({
            token: lease.token, jobIds: [jobId], reason: CancelReason.TIMED_OUT, message: `The attempt took longer than ${timeoutMs} ms.`,
          });
          session.settled(lease, [place]);
          this.#roomMade();
        }
      },
    });
  }
}
