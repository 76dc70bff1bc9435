import type { Clock } from '../clock.ts';
import type { NotifyConnection } from '../store/notify.ts';
import type { Log } from '../store/store.ts';
import type { CancelledLeasedJob } from './engine.ts';

/** The first hint goes out at once, then at most one each so many milliseconds. */
const COALESCE_MS = 250;
/** Cancels are in more of a hurry. */
const COALESCE_CANCEL_MS = 50;
/** NOTIFY takes 8,000 bytes; a larger hint says "look everywhere" instead. */
const PAYLOAD_BYTES_MAX = 7_500;

/** A hint to the other coordinators. Lost ones are made up for by scans. */
export interface Hint {
  /** Who says so. */
  from: string;
  /** Levels in which jobs became ready: queue, priority, lowest position. */
  ready?: [number, number, string][];
  /** A job was scheduled for this moment: milliseconds of the database's clock. */
  runAtMs?: number;
  /** Queues whose settings changed. */
  queues?: number[];
  /** Running jobs that were cancelled: session, lease, job, reason. */
  cancelled?: [string, string, string, string][];
  /** More changed than fits into a hint. */
  all?: true;
}

/** Tells the other coordinators, outside of anybody's transaction and no more than a few times a second. */
export class Wakeups {
  readonly #coordinatorId: string;
  readonly #line: NotifyConnection;
  readonly #clock: Clock;
  readonly #log: Log;
  #ready = new Map<number, [number, number, bigint]>();
  #runAtMs: number | undefined;
  #queues = new Set<number>();
  #cancelled: CancelledLeasedJob[] = [];
  #greeting = false;
  #sentMs = -Infinity;
  #timer: NodeJS.Timeout | undefined;
  #dueMs = Infinity;
  /** Others are there to hear: as of the last tick. */
  othersAlive = true;

  constructor(deps: { coordinatorId: string; line: NotifyConnection; clock: Clock; log: Log }) {
    this.#coordinatorId = deps.coordinatorId;
    this.#line = deps.line;
    this.#clock = deps.clock;
    this.#log = deps.log;
  }

  ready(levels: { queueId: number; priority: number; positionMin: bigint }[]): void {
    for (const { queueId, priority, positionMin } of levels) {
      const key = queueId * 10 + priority;
      const known = this.#ready.get(key);
      if (known === undefined || positionMin < known[2]) {
        this.#ready.set(key, [queueId, priority, positionMin]);
      }
    }
    this.#schedule(COALESCE_MS);
  }

  scheduled(runAtMs: number): void {
    this.#runAtMs = Math.min(this.#runAtMs ?? Infinity, runAtMs);
    this.#schedule(COALESCE_MS);
  }

  queuesChanged(queueIds: number[]): void {
    queueIds.forEach((id) => this.#queues.add(id));
    this.#schedule(0);
  }

  cancelled(jobs: CancelledLeasedJob[]): void {
    this.#cancelled.push(...jobs);
    this.#schedule(COALESCE_CANCEL_MS);
  }

  /** A new coordinator is there. */
  greet(): void {
    this.#greeting = true;
    this.othersAlive = true;
    this.#schedule(0);
  }

  close(): void {
    clearTimeout(this.#timer);
  }

  #schedule(coalesceMs: number): void {
    if (!this.othersAlive) {
      this.#take();
      return;
    }
    const dueMs = Math.max(this.#clock.nowMs(), this.#sentMs + coalesceMs);
    if (dueMs < this.#dueMs) {
      clearTimeout(this.#timer);
      this.#dueMs = dueMs;
      this.#timer = this.#clock.after(dueMs - this.#clock.nowMs(), () => void this.#send());
    }
  }

  async #send(): Promise<void> {
    this.#dueMs = Infinity;
    this.#sentMs = this.#clock.nowMs();
    const hint = this.#take();
    const text = JSON.stringify(hint);
    const payload = text.length <= PAYLOAD_BYTES_MAX ? text : JSON.stringify({ from: this.#coordinatorId, all: true } satisfies Hint);
    try {
      await this.#line.send(payload);
    } catch (error) {
      // A hint: the scans of the others make up for it.
      this.#log.debug({ err: error }, 'a wake-up could not be sent');
    }
  }

  #take(): Hint {
    const hint: Hint = { from: this.#coordinatorId };
    if (this.#ready.size > 0) {
      hint.ready = [...this.#ready.values()].map(([queueId, priority, position]) => [queueId, priority, position.toString()]);
    }
    if (this.#runAtMs !== undefined) {
      hint.runAtMs = this.#runAtMs;
    }
    if (this.#queues.size > 0) {
      hint.queues = [...this.#queues];
    }
    if (this.#cancelled.length > 0) {
      hint.cancelled = this.#cancelled.map((job) => [job.sessionId, job.leaseId, job.jobId, job.reason]);
    }
    if (this.#greeting) {
      hint.all = true;
    }
    this.#ready = new Map();
    this.#runAtMs = undefined;
    this.#queues = new Set();
    this.#cancelled = [];
    this.#greeting = false;
    return hint;
  }
}
