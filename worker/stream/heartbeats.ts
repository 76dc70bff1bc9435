import type { Alive } from '../../proto/gen/skiplease/v1/worker_service.ts';
import { monotonicMs } from '../clock.ts';
import type { Validity } from '../lease/validity.ts';
import { msFromDuration } from '../wire/duration.ts';
import type { StreamWriter } from './stream_writer.ts';

/**
 * Without an answer for this many intervals (so that one heartbeat has waited a whole interval for its own) the
 * coordinator is hung or cut off. An interval is a third of the time to live: a third of it is left to resume elsewhere.
 */
const silenceIntervals = 2;

/**
 * A coordinator that vouches for less than this share of the time to live has not reached its database for a while, and
 * others will give its leases away. There is as much time left to resume elsewhere.
 */
const poorStandingShare = 0.75;

/** Why the coordinator cannot be relied on: it says nothing, or it says that it has no database. */
export type Trouble = 'silence' | 'standing';

/** How many sent heartbeats may wait for their answer. */
const unansweredMax = 64;

export interface HeartbeatsOptions {
  intervalMs: number;
  leaseTtlMs: number;
  writer: StreamWriter;
  validity: Validity;
  /** The highest lease number received on this stream. */
  received: () => number;
  /** Called when a trouble begins, and with undefined when it is over. */
  onTrouble: (trouble: Trouble | undefined) => void;
}

/**
 * Heartbeats of one stream, on a timer that knows nothing of handlers: a process whose event loop hangs stops
 * sending, and loses its leases, by design.
 */
export class Heartbeats {
  readonly #options: HeartbeatsOptions;
  readonly #timer: NodeJS.Timeout;
  readonly #sentAtMs = new Map<number, number>();
  #sequence = 0;
  #lastTickMs = monotonicMs();
  #lastSentMs = monotonicMs();
  #lastAnswerMs = monotonicMs();
  #trouble: Trouble | undefined;

  constructor(options: HeartbeatsOptions) {
    this.#options = options;
    this.#timer = setInterval(() => this.#tick(), options.intervalMs / 4);
  }

  stop(): void {
    clearInterval(this.#timer);
  }

  /**
   * A blocked stream gets none: it would only queue behind what the coordinator does not read. A tick that comes
   * late says that this process itself was frozen: the answers may lie in the socket, unread, so silence proves nothing.
   */
  #tick(): void {
    const { intervalMs, writer } = this.#options;
    const nowMs = monotonicMs();
    const late = nowMs - this.#lastTickMs > intervalMs;
    this.#lastTickMs = nowMs;
    if (nowMs - this.#lastSentMs >= intervalMs * 0.9 && writer.writable) this.#send(nowMs);
    if (!late && nowMs - this.#lastAnswerMs > intervalMs * silenceIntervals) this.#setTrouble('silence');
  }

  #send(nowMs: number): void {
    const sequence = ++this.#sequence;
    this.#lastSentMs = nowMs;
    this.#sentAtMs.set(sequence, nowMs);
    this.#sentAtMs.delete(sequence - unansweredMax);
    this.#options.writer.write({ $case: 'heartbeat', value: { sequence, received: this.#options.received() } });
  }

  answered(alive: Alive): void {
    const sentAtMs = this.#sentAtMs.get(alive.sequence);
    if (sentAtMs === undefined) return;
    this.#sentAtMs.delete(alive.sequence);
    this.#lastAnswerMs = monotonicMs();
    const validForMs = msFromDuration(alive.validFor) ?? 0;
    this.#options.validity.extendTo(sentAtMs + validForMs);
    this.#setTrouble(validForMs < this.#options.leaseTtlMs * poorStandingShare ? 'standing' : undefined);
  }

  #setTrouble(trouble: Trouble | undefined): void {
    if (this.#trouble === trouble) return;
    this.#trouble = trouble;
    this.#options.onTrouble(trouble);
  }
}
