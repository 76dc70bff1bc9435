import type { Clock } from '../clock.ts';
import type { NotifyConnection } from '../store/notify.ts';
import type { Log } from '../store/store.ts';
import { rangeOf, type IdRange } from './awaited.ts';
import type { CancelledLeasedJob } from './engine.ts';

/** The first hint goes out at once, then at most one each so many milliseconds. */
const COALESCE_MS = 250;
/** Cancels are in more of a hurry. */
const COALESCE_CANCEL_MS = 50;
/** NOTIFY takes 8,000 bytes. */
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
  /** Queues with limits, of which something has ended. */
  room?: number[];
  /** Running jobs that were cancelled: session, lease, job, reason. */
  cancelled?: [string, string, string, string][];
  /** Jobs wait for others with ids between these. */
  awaited?: [string, string];
  /** More became ready than fits into a hint, or somebody is new: look everywhere. */
  all?: true;
}

/** Tells the other coordinators, outside of anybody's transaction and no more than a few times a second. */
export class Wakeups {
  readonly #coordinatorId: string;
  readonly #line: Pick<NotifyConnection, 'send'>;
  readonly #clock: Clock;
  readonly #log: Log;
  #ready = new Map<number, [number, number, bigint]>();
  #runAtMs: number | undefined;
  #queues = new Set<number>();
  #awaited: IdRange | undefined;
  #room = new Set<number>();
  #cancelled: CancelledLeasedJob[] = [];
  #greeting = false;
  #sentMs = -Infinity;
  #timer: NodeJS.Timeout | undefined;
  #dueMs = Infinity;
  /** Others are there to hear: as of the last tick. */
  othersAlive = true;

  constructor(deps: { coordinatorId: string; line: Pick<NotifyConnection, 'send'>; clock: Clock; log: Log }) {
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

  awaited({ min, max }: IdRange): void {
    this.#awaited = rangeOf([min, max, ...(this.#awaited === undefined ? [] : [this.#awaited.min, this.#awaited.max])]);
    this.#schedule(COALESCE_MS);
  }

  queuesChanged(queueIds: number[]): void {
    queueIds.forEach((id) => this.#queues.add(id));
    this.#schedule(0);
  }

  roomIn(queueId: number): void {
    this.#room.add(queueId);
    this.#schedule(COALESCE_MS);
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
    try {
      for (const payload of pieces(this.#take())) {
        await this.#line.send(payload);
      }
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
    if (this.#awaited !== undefined) {
      hint.awaited = [this.#awaited.min, this.#awaited.max];
    }
    if (this.#queues.size > 0) {
      hint.queues = [...this.#queues];
    }
    if (this.#room.size > 0) {
      hint.room = [...this.#room];
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
    this.#awaited = undefined;
    this.#room = new Set();
    this.#cancelled = [];
    this.#greeting = false;
    return hint;
  }
}

/** One payload, or as many as it takes. Levels are found by a look everywhere; cancels and settings are said here or nowhere. */
function pieces(hint: Hint): string[] {
  const whole = JSON.stringify(hint);
  if (fits(whole)) {
    return [whole];
  }
  const { from, queues = [], cancelled = [] } = hint;
  const rest: Hint = { from, all: true };
  if (hint.runAtMs !== undefined) {
    rest.runAtMs = hint.runAtMs;
  }
  if (hint.awaited !== undefined) {
    rest.awaited = hint.awaited;
  }
  return [
    JSON.stringify(rest),
    ...inHalves(queues, (part) => JSON.stringify({ from, queues: part } satisfies Hint)),
    ...inHalves(cancelled, (part) => JSON.stringify({ from, cancelled: part } satisfies Hint)),
  ];
}

function inHalves<Item>(items: Item[], write: (part: Item[]) => string): string[] {
  if (items.length === 0) {
    return [];
  }
  const text = write(items);
  const half = items.length >> 1;
  return items.length === 1 || fits(text) ? [text] : [...inHalves(items.slice(0, half), write), ...inHalves(items.slice(half), write)];
}

function fits(payload: string): boolean {
  return Buffer.byteLength(payload) <= PAYLOAD_BYTES_MAX;
}
