import type { Clock } from '../clock.ts';
import type { Log } from '../store/store.ts';
import type { Line } from '../wakeups/line.ts';
import { rangeOf, type IdRange } from './awaited.ts';
import type { CancelledLeasedJob } from './engine.ts';
import { writeHint, type Hint } from './hint.ts';

/** The first hint goes out at once, then at most one each so many milliseconds. */
const COALESCE_MS = 250;
/** Cancels are in more of a hurry. */
const COALESCE_CANCEL_MS = 50;
/** Cancels that wait to be said: where there are more, the others are told to look everywhere. */
const CANCELLED_MAX = 10_000;

/** Tells the other coordinators, outside of anybody's transaction and no more than a few times a second. */
export class Wakeups {
  readonly #coordinatorId: string;
  readonly #line: Pick<Line, 'send' | 'reachesOthers'>;
  readonly #clock: Clock;
  readonly #log: Log;
  readonly #ttlMs: number;
  #ready = new Map<number, [number, number, bigint]>();
  #runAtMs: number | undefined;
  #queues = new Set<number>();
  #awaited: IdRange | undefined;
  #room = new Set<number>();
  #cancelled: CancelledLeasedJob[] = [];
  /** Somebody is new here, or something could not be said: the others are to look everywhere. */
  #all = false;
  #sentMs = -Infinity;
  #timer: NodeJS.Timeout | undefined;
  #dueMs = Infinity;
  /** One hint after the other: while the line is slow, what is to be said gathers. */
  #sending: Promise<void> = Promise.resolve();
  /** Others are there to hear: as of the last tick. */
  #heard: boolean;
  /** Since when others have been seen whom the line does not reach. */
  #unreachedSinceMs: number | undefined;
  #warned = false;

  constructor(deps: { coordinatorId: string; line: Pick<Line, 'send' | 'reachesOthers'>; clock: Clock; log: Log; ttlMs: number }) {
    this.#coordinatorId = deps.coordinatorId;
    this.#line = deps.line;
    this.#clock = deps.clock;
    this.#log = deps.log;
    this.#ttlMs = deps.ttlMs;
    this.#heard = deps.line.reachesOthers;
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
    const room = CANCELLED_MAX - this.#cancelled.length;
    this.#cancelled.push(...jobs.slice(0, room));
    this.#all ||= jobs.length > room;
    this.#schedule(COALESCE_CANCEL_MS);
  }

  /** A new coordinator is there. */
  greet(): void {
    this.#all = true;
    this.heardOthers();
    this.#schedule(0);
  }

  /** The line is there again. */
  sayWhatWasLost(): void {
    if (this.#all) {
      this.#schedule(0);
    }
  }

  heardOthers(): void {
    this.#heard = this.#line.reachesOthers;
  }

  /** So many other coordinators were alive at the last tick. One that was killed counts for a time to live. */
  seen(others: number): void {
    this.#heard = others > 0 && this.#line.reachesOthers;
    if (others === 0 || this.#line.reachesOthers || this.#warned) {
      this.#unreachedSinceMs = undefined;
      return;
    }
    const nowMs = this.#clock.nowMs();
    this.#unreachedSinceMs ??= nowMs;
    if (nowMs - this.#unreachedSinceMs > this.#ttlMs) {
      this.#warned = true;
      this.#log.warn({ event: 'others_unheard', others }, 'other coordinators are on this database, and SKIPLEASE_WAKEUPS=memory says nothing to them: '
        + 'work is found late, and workers hear late of cancels. Set it to postgres or redis on all of them');
    }
  }

  close(): void {
    clearTimeout(this.#timer);
  }

  #schedule(coalesceMs: number): void {
    if (!this.#heard) {
      this.#take();
      return;
    }
    const dueMs = Math.max(this.#clock.nowMs(), this.#sentMs + coalesceMs);
    if (dueMs < this.#dueMs) {
      clearTimeout(this.#timer);
      this.#dueMs = dueMs;
      this.#timer = this.#clock.after(dueMs - this.#clock.nowMs(), () => {
        this.#sending = this.#sending.then(() => this.#send());
      });
    }
  }

  async #send(): Promise<void> {
    this.#dueMs = Infinity;
    this.#sentMs = this.#clock.nowMs();
    try {
      for (const payload of writeHint(this.#take())) {
        await this.#line.send(payload);
      }
    } catch (error) {
      this.#log.debug({ err: error }, 'a wake-up could not be sent');
      // Not again: who looks everywhere finds all of it.
      this.#all = true;
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
    if (this.#all) {
      hint.all = true;
    }
    this.#ready = new Map();
    this.#runAtMs = undefined;
    this.#queues = new Set();
    this.#awaited = undefined;
    this.#room = new Set();
    this.#cancelled = [];
    this.#all = false;
    return hint;
  }
}
