import type { Clock } from '../clock.ts';
import { SkipleaseError } from '../errors.ts';
import type { Store } from '../store/store.ts';
import type { SubmitRow } from '../store/submit.ts';
import type { QueueCache } from './queue_cache.ts';

/** Jobs that are let in between two looks at how many wait, about as many as a flush takes: so far each coordinator may overshoot a ceiling. */
const BETWEEN_LOOKS_MAX = 5_000;
/** A queue that was found full is not looked at again for so long: milliseconds. */
const FULL_MS = 100;
/** What a client is told to wait. */
const RETRY_AFTER_MS = 500;

/** What a queue with a ceiling still takes, as of the last look. */
interface Room {
  jobs: number;
  /** Let in, and not answered yet: a look may or may not see them. */
  underWay: number;
  fullUntilMs: number;
  look: Promise<void> | undefined;
}

/**
 * Ceilings of queues (`waiting_max`): a submit to one that is full is turned away. How many wait is counted in the database, once
 * for every few thousand jobs that come; queues without a ceiling cost nothing.
 */
export class Ceilings {
  readonly #store: Store;
  readonly #queues: QueueCache;
  readonly #clock: Clock;
  readonly #rooms = new Map<number, Room>();

  constructor(deps: { store: Store; queues: QueueCache; clock: Clock }) {
    this.#store = deps.store;
    this.#queues = deps.queues;
    this.#clock = deps.clock;
  }

  /** Some of these go to a queue with a ceiling. */
  concern(rows: SubmitRow[]): boolean {
    return this.#queues.ceilings.size > 0 && rows.some(({ queueId }) => this.#queues.ceilings.has(queueId));
  }

  /** Resolves once they may go in, and counts them until `answered`: each queue has room for one, at least. RESOURCE_EXHAUSTED when one has none. */
  async admit(rows: SubmitRow[]): Promise<void> {
    const queueIds = [...new Set(rows.map(({ queueId }) => queueId))].filter((queueId) => this.#queues.ceilings.has(queueId));
    for (let full = this.#full(queueIds); full !== undefined; full = this.#full(queueIds)) {
      await this.#look(full);
    }
    this.#count(rows, (room) => {
      room.jobs -= 1;
      room.underWay += 1;
    });
  }

  /** They are committed, or refused. */
  answered(rows: SubmitRow[]): void {
    this.#count(rows, (room) => {
      room.underWay = Math.max(0, room.underWay - 1);
    });
  }

  #full(queueIds: number[]): number | undefined {
    return queueIds.find((queueId) => this.#room(queueId).jobs <= 0);
  }

  async #look(queueId: number): Promise<void> {
    const room = this.#room(queueId);
    if (this.#clock.nowMs() < room.fullUntilMs) {
      throw this.#queueFull(queueId);
    }
    room.look ??= this.#countWaiting(queueId, room).finally(() => {
      room.look = undefined;
    });
    await room.look;
  }

  async #countWaiting(queueId: number, room: Room): Promise<void> {
    const { underWay } = room;
    const max = this.#queues.known(queueId)?.waitingMax ?? Infinity;
    const waiting = max === Infinity ? 0 : await this.#store.countWaiting(queueId, max);
    room.jobs = Math.min(max - waiting - underWay, BETWEEN_LOOKS_MAX);
    room.fullUntilMs = room.jobs > 0 ? 0 : this.#clock.nowMs() + FULL_MS;
  }

  #room(queueId: number): Room {
    let room = this.#rooms.get(queueId);
    if (room === undefined) {
      room = { jobs: 0, underWay: 0, fullUntilMs: 0, look: undefined };
      this.#rooms.set(queueId, room);
    }
    return room;
  }

  #count(rows: SubmitRow[], change: (room: Room) => void): void {
    if (this.#queues.ceilings.size === 0) {
      return;
    }
    for (const { queueId } of rows) {
      if (this.#queues.ceilings.has(queueId)) {
        change(this.#room(queueId));
      }
    }
  }

  #queueFull(queueId: number): SkipleaseError {
    const queue = this.#queues.nameOf(queueId);
    return new SkipleaseError('RESOURCE_EXHAUSTED', 'QUEUE_FULL',
      `As many jobs wait in ${queue} as it takes (its setting waiting_max). Send it again when workers have taken some.`,
      { retryAfterMs: RETRY_AFTER_MS, metadata: { queue } });
  }
}
