import type { Clock } from '../clock.ts';

/** A full queue is asked again after so long, though nobody said that it has room: a hint may be lost. */
const ASK_AGAIN_MS = 500;

/** Queues whose limits let nothing more start, as of the last claim: claims leave them out until there may be room. */
export class FullQueues {
  readonly #clock: Clock;
  readonly #room: () => void;
  /** Until when. */
  readonly #untilMs = new Map<number, number>();
  #timer: NodeJS.Timeout | undefined;
  #dueMs = Infinity;

  /** `room`: time has passed, and a queue is to be asked again. */
  constructor(deps: { clock: Clock; room: () => void }) {
    this.#clock = deps.clock;
    this.#room = deps.room;
  }

  /** Nothing more may start, until a token is due (null: until something that runs ends). */
  add(queueId: number, tokenDueMs: number | null): void {
    const untilMs = this.#clock.nowMs() + Math.min(tokenDueMs ?? Infinity, ASK_AGAIN_MS);
    this.#untilMs.set(queueId, untilMs);
    this.#wakeAt(untilMs);
  }

  has(queueId: number): boolean {
    const untilMs = this.#untilMs.get(queueId);
    return untilMs !== undefined && untilMs > this.#clock.nowMs();
  }

  /** Something that ran has ended. */
  roomIn(queueId: number): void {
    this.#untilMs.delete(queueId);
  }

  close(): void {
    clearTimeout(this.#timer);
    this.#dueMs = -Infinity;
  }

  #wakeAt(ms: number): void {
    if (ms < this.#dueMs) {
      this.#dueMs = ms;
      clearTimeout(this.#timer);
      this.#timer = this.#clock.after(Math.max(0, ms - this.#clock.nowMs()), () => this.#passed());
    }
  }

  #passed(): void {
    this.#dueMs = Infinity;
    const nowMs = this.#clock.nowMs();
    let nextMs = Infinity;
    for (const [queueId, untilMs] of this.#untilMs) {
      if (untilMs <= nowMs) {
        this.#untilMs.delete(queueId);
      } else {
        nextMs = Math.min(nextMs, untilMs);
      }
    }
    if (nextMs < Infinity) {
      this.#wakeAt(nextMs);
    }
    this.#room();
  }
}
