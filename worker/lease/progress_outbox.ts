import type { Payload } from '../../proto/gen/skiplease/v1/job.ts';
import { monotonicMs } from '../clock.ts';
import type { Session } from '../stream/session.ts';
import type { HeldJob } from './held_job.ts';
import type { HeldLeases } from './held_leases.ts';

/** At most one message a job in this time, in milliseconds; what comes in between replaces what waits. */
const intervalMs = 250;

/** The latest word of one job, and when it was last sent. */
export interface PendingProgress {
  percent: number;
  note: string;
  checkpoint: Payload | undefined;
  sentAtMs: number;
}

/** Sends what handlers say of their progress: the latest word of each job, a few times a second, last before its report. */
export class ProgressOutbox {
  readonly #leases: HeldLeases;
  readonly #waiting = new Set<HeldJob>();
  #session: Session | undefined;
  #timer: NodeJS.Timeout | undefined;

  constructor(leases: HeldLeases) {
    this.#leases = leases;
  }

  /** A new stream: nothing says that the last words on the old one arrived, so they are said again. */
  attach(session: Session): void {
    this.#session = session;
    for (const job of this.#leases.running()) {
      if (job.progress !== undefined) this.#waiting.add(job);
    }
    this.#sendDue();
  }

  detach(): void {
    this.#session = undefined;
    clearTimeout(this.#timer);
    this.#timer = undefined;
  }

  /** What is undefined stays as it was. */
  update(job: HeldJob, change: { percent?: number; note?: string; checkpoint?: Payload }): void {
    if (job.phase !== 'running') return;
    const before = job.progress ?? { percent: 0, note: '', checkpoint: undefined, sentAtMs: -intervalMs };
    job.progress = { ...before, ...change };
    this.#waiting.add(job);
    this.#sendDue();
  }

  /** The last word of a job, before its report goes out. */
  sendLast(job: HeldJob): void {
    if (this.#waiting.delete(job)) this.#send(job);
  }

  /** After a refused write there is room again. */
  writable(): void {
    this.#sendDue();
  }

  #sendDue(): void {
    if (this.#timer !== undefined) return;
    const nowMs = monotonicMs();
    let nextMs = Infinity;
    for (const job of this.#waiting) {
      if (job.phase === 'gone') {
        this.#waiting.delete(job);
        continue;
      }
      if (this.#session?.writer.writable !== true) return;
      const waitMs = job.progress!.sentAtMs + intervalMs - nowMs;
      if (waitMs > 0) {
        nextMs = Math.min(nextMs, waitMs);
      } else {
        this.#waiting.delete(job);
        this.#send(job);
      }
    }
    if (nextMs === Infinity) return;
    this.#timer = setTimeout(() => {
      this.#timer = undefined;
      this.#sendDue();
    }, nextMs);
  }

  #send(job: HeldJob): void {
    const { percent, note, checkpoint } = job.progress!;
    job.progress!.sentAtMs = monotonicMs();
    this.#session?.writer.write({
      $case: 'progress',
      value: { token: job.lease.token, jobId: job.wire.id, percent, note, checkpoint },
    });
  }
}
