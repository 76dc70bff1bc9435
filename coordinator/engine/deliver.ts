import type { Clock } from '../clock.ts';
import type { Specials } from '../store/claim.ts';
import { HeldLease } from './held_lease.ts';
import { durationOf, type LeasedJobMessage } from './messages.ts';
import type { Mender } from './mender.ts';
import type { QueueSettings } from '../types.ts';
import type { Session } from './session.ts';

/** A job that was leased just now, from whichever way it came. */
export interface GrantedJob {
  id: string;
  type: string;
  payload: Uint8Array;
  contentType: string | null;
  attempt: number;
  maxAttempts: number | null;
  timeoutMs: number | null;
  /** JSON object text. */
  headers: string | null;
  checkpoint: Uint8Array | null;
  priority: number;
  bytes: number;
}

const NO_HEADERS: Record<string, string> = {};
const NO_BYTES = new Uint8Array(0);
export const OCTET_STREAM = 'application/octet-stream';

/**
 * Hands a committed lease to its worker. Where the stream is gone by now it was never written: its jobs go back with no
 * attempt spent.
 */
export class Delivery {
  readonly #coordinatorId: string;
  readonly #mender: Mender;
  readonly #clock: Clock;
  readonly #moved: () => void;

  constructor(deps: { coordinatorId: string; mender: Mender; clock: Clock; moved: () => void }) {
    this.#coordinatorId = deps.coordinatorId;
    this.#mender = deps.mender;
    this.#clock = deps.clock;
    this.#moved = deps.moved;
  }

  deliver(
    session: Session, queue: QueueSettings, token: { leaseId: bigint; secret: bigint }, jobs: GrantedJob[], specials?: Specials,
  ): void {
    this.#moved();
    const port = session.port;
    if (port === undefined || !session.takesLeases) {
      this.giveBack(session.id, token.leaseId);
      return;
    }
    session.leaseNumber += 1;
    const jobIds: string[] = [];
    const attempts: number[] = [];
    const bytes: number[] = [];
    const messages: LeasedJobMessage[] = [];
    let timeouts = false;
    for (const job of jobs) {
      jobIds.push(job.id);
      attempts.push(job.attempt);
      bytes.push(job.bytes);
      timeouts ||= job.timeoutMs !== null;
      messages.push(message(job, queue));
    }
    const lease = new HeldLease({
      leaseId: token.leaseId, secret: token.secret, queueId: queue.id, jobIds, attempts, bytes, grantedMs: this.#clock.nowMs(), specials,
      timeoutsMs: timeouts ? jobs.map(({ timeoutMs }) => timeoutMs) : undefined,
    });
    lease.number = session.leaseNumber;
    session.take(lease);
    session.stalled = !port.lease({ token: lease.token, number: lease.number, queue: queue.name, jobs: messages });
  }

  /** What never reached a worker, or comes back unstarted. */
  giveBack(sessionId: string, leaseId: bigint): void {
    this.#mender.add({
      leaseId,
      proof: { coordinatorId: this.#coordinatorId, sessionId },
      moves: { kind: 'release', delayMs: 0, snoozed: false },
      done: () => {},
    });
  }
}

function message(job: GrantedJob, queue: QueueSettings): LeasedJobMessage {
  return {
    id: job.id,
    type: job.type,
    payload: job.payload,
    contentType: job.contentType ?? OCTET_STREAM,
    attempt: job.attempt,
    maxAttempts: job.maxAttempts ?? queue.retry.maxAttempts,
    timeout: job.timeoutMs === null ? undefined : durationOf(job.timeoutMs),
    headers: job.headers === null ? NO_HEADERS : (JSON.parse(job.headers) as Record<string, string>),
    checkpoint: job.checkpoint ?? NO_BYTES,
    priority: job.priority,
  };
}
