import { STATEMENT_TIMEOUT_MS } from '../limits.ts';

/**
 * How far the trailing mark stays behind: longer than any coordinator's transaction may last, because a position that was
 * drawn before the mark may be committed after it has passed.
 */
export const TRAIL_MS = 2 * STATEMENT_TIMEOUT_MS;
/** How coarsely the mark's past is remembered. */
const HISTORY_STEP_MS = 1_000;
/** Queues that one look-back goes over; where more were claimed from lately, they take turns. */
const LOOK_BACK_QUEUES_MAX = 200;

/** One priority of one queue: where the next claim starts. Nothing below the mark waits, but for late commits. */
interface Level {
  priority: number;
  mark: bigint;
  /** Something may wait above the mark. */
  waiting: boolean;
  /** The next claim starts at the trailing mark, for what was committed late or given up by another's claim. */
  lookBack: boolean;
  /** The lowest position noted since the claim under way was asked for: that claim may not have seen it. */
  noted: bigint | undefined;
  /** Its mark has never moved: what was drawn below the first one may still be committed. */
  fresh: boolean;
  /** Marks of the past, oldest first: the first is the trailing one. */
  history: { ms: number; mark: bigint }[];
}

/** What a claim asks of one level. */
export interface LevelAsk {
  priority: number;
  /** Claim positions above this. */
  mark: bigint;
}

/** Low-water marks of every queue and priority that this coordinator has seen work in. */
export class Levels {
  readonly #queues = new Map<number, Level[]>();
  /** In turn: the first is the one that was served longest ago. */
  readonly #waiting = new Set<number>();
  /** Queues with a past to look back to, in turn. */
  readonly #claimedLately = new Set<number>();

  /** Queues in which something may wait. */
  get waitingQueueIds(): ReadonlySet<number> {
    return this.#waiting;
  }

  /** Something is known, or thought, to wait in it: it is not only looked back at. */
  awaits(queueId: number): boolean {
    return this.#queues.get(queueId)?.some(({ waiting }) => waiting) ?? false;
  }

  /** Waiting queues in turn: each that is visited goes to the end of the line. */
  inTurn(): Iterable<number> {
    return turn(this.#waiting, this.#waiting.size);
  }

  /** Jobs became ready at this position or above: committed just now, here or elsewhere. */
  note(queueId: number, priority: number, positionMin: bigint): void {
    const level = this.#level(queueId, priority, positionMin - 1n);
    if (positionMin <= level.mark) {
      level.mark = positionMin - 1n;
    }
    if (level.noted === undefined || positionMin < level.noted) {
      level.noted = positionMin;
    }
    level.waiting = true;
    this.#waiting.add(queueId);
  }

  /** These queues may be claimed from again (resumed): whatever stands above their marks may wait. */
  wake(queueIds: number[]): void {
    for (const queueId of queueIds) {
      for (const level of this.#queues.get(queueId) ?? []) {
        level.waiting = true;
        this.#waiting.add(queueId);
      }
    }
  }

  /** What to ask for, highest priority first. */
  ask(queueId: number): LevelAsk[] {
    const asked = (this.#queues.get(queueId) ?? []).filter((level) => level.waiting || level.lookBack);
    return asked.map((level) => {
      level.noted = undefined;
      return { priority: level.priority, mark: level.lookBack ? this.#trailing(level) : level.mark };
    });
  }

  /** Every mark of the queue, for the hand-off's look at who waits before: unknown priorities from zero. */
  marks(queueId: number, priorityMin: number): LevelAsk[] {
    const asks: LevelAsk[] = [];
    for (let priority = priorityMin; priority <= 9; priority += 1) {
      const level = this.#queues.get(queueId)?.find((known) => known.priority === priority);
      asks.push({ priority, mark: level?.mark ?? 0n });
    }
    return asks;
  }

  /** A claim of these asks came back: with the last position it took of each priority, and short when the queue ran dry. */
  claimed(queueId: number, asks: LevelAsk[], taken: Map<number, bigint>, short: boolean, nowMs: number): void {
    for (const ask of asks) {
      const level = this.#queues.get(queueId)!.find((known) => known.priority === ask.priority)!;
      const last = taken.get(ask.priority);
      const moves = last !== undefined && last > level.mark;
      // What it was told of but did not get, others may hold, and give up.
      if (moves || level.waiting) {
        this.#remember(level, nowMs);
        this.#claimedLately.add(queueId);
      }
      if (moves) {
        level.mark = last;
      }
      if (level.noted !== undefined && level.noted <= level.mark) {
        level.mark = level.noted - 1n;
      }
      if (short) {
        level.waiting = level.noted !== undefined;
        level.lookBack = false;
      } else if (last !== undefined && last >= level.mark) {
        level.lookBack = false;
      }
    }
    this.#refresh(queueId);
  }

  /** A few times a second: wherever something was claimed lately, the next claim looks back to the trailing mark. */
  lookBack(nowMs: number): boolean {
    let any = false;
    for (const queueId of turn(this.#claimedLately, LOOK_BACK_QUEUES_MAX)) {
      let past = false;
      for (const level of this.#queues.get(queueId)!) {
        while (level.history.length > 0 && nowMs - level.history[0]!.ms > TRAIL_MS + HISTORY_STEP_MS) {
          level.history.shift();
        }
        if (level.history.length > 0) {
          level.lookBack = true;
          past = true;
        }
      }
      if (!past) {
        this.#claimedLately.delete(queueId);
      }
      any ||= past;
      this.#refresh(queueId);
    }
    return any;
  }

  #trailing(level: Level): bigint {
    const trailing = level.history[0]?.mark ?? level.mark;
    return trailing < level.mark ? trailing : level.mark;
  }

  #remember(level: Level, nowMs: number): void {
    const newest = level.history.at(-1);
    if (newest === undefined || nowMs - newest.ms >= HISTORY_STEP_MS) {
      level.history.push({ ms: nowMs, mark: level.fresh ? 0n : level.mark });
      level.fresh = false;
    }
  }

  #level(queueId: number, priority: number, mark: bigint): Level {
    let levels = this.#queues.get(queueId);
    if (levels === undefined) {
      levels = [];
      this.#queues.set(queueId, levels);
    }
    let level = levels.find((known) => known.priority === priority);
    if (level === undefined) {
      level = { priority, mark, waiting: false, lookBack: false, noted: undefined, fresh: true, history: [] };
      levels.push(level);
      levels.sort((a, b) => b.priority - a.priority);
    }
    return level;
  }

  #refresh(queueId: number): void {
    if (this.#queues.get(queueId)!.some((level) => level.waiting || level.lookBack)) {
      this.#waiting.add(queueId);
    } else {
      this.#waiting.delete(queueId);
    }
  }
}

/** At most so many of a set, in turn: each that is visited goes to the end. */
function* turn(line: Set<number>, most: number): Generator<number> {
  let left = Math.min(most, line.size);
  for (const next of line) {
    if (left === 0) {
      return;
    }
    left -= 1;
    line.delete(next);
    line.add(next);
    yield next;
  }
}
