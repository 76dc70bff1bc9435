import { monotonicMs } from '../clock.ts';
import type { Logger } from '../logger.ts';

/** How long a job without a handler here is handed back for, in milliseconds: doubles while its type keeps coming. */
export const firstDelayMs = 5_000;
export const mostDelayMs = 60_000;

/** One warning a type in this time, in milliseconds. */
const warningIntervalMs = 60_000;

/** How many types are remembered; names come from outside. */
const typesMax = 1_000;

interface Seen {
  delayMs: number;
  /** When this delay was first given. */
  sinceMs: number;
  lastMs: number;
  warnedMs: number;
}

/**
 * Job types that arrive though nothing here handles them: handed back with a delay, so that a worker that knows them
 * has the first chance and two that do not cannot play ball with them.
 */
export class MissingHandlers {
  readonly #handled: readonly string[];
  readonly #logger: Logger;
  readonly #now: () => number;
  readonly #seen = new Map<string, Seen>();

  constructor(handled: readonly string[], logger: Logger, now: () => number = monotonicMs) {
    this.#handled = handled;
    this.#logger = logger;
    this.#now = now;
  }

  /** The delay to release a job of this type with, in milliseconds. Warns at most once a minute for each type. */
  delayMs(type: string, queue: string): number {
    const nowMs = this.#now();
    let seen = this.#seen.get(type);
    if (seen === undefined || nowMs - seen.lastMs > 2 * mostDelayMs) {
      seen = { delayMs: firstDelayMs, sinceMs: nowMs, lastMs: nowMs, warnedMs: -Infinity };
      this.#remember(type, seen);
    } else if (nowMs - seen.sinceMs >= seen.delayMs) {
      seen.delayMs = Math.min(mostDelayMs, seen.delayMs * 2);
      seen.sinceMs = nowMs;
    }
    seen.lastMs = nowMs;
    if (nowMs - seen.warnedMs >= warningIntervalMs) {
      seen.warnedMs = nowMs;
      this.#warn(type, queue, seen.delayMs);
    }
    return seen.delayMs;
  }

  #remember(type: string, seen: Seen): void {
    this.#seen.delete(type);
    this.#seen.set(type, seen);
    if (this.#seen.size <= typesMax) return;
    const [oldest] = this.#seen.keys();
    this.#seen.delete(oldest!);
  }

  #warn(type: string, queue: string, delayMs: number): void {
    const known = this.#handled.length === 0 ? 'none' : this.#handled.join(', ');
    this.#logger.warn(
      { event: 'no_handler', job_type: type, queue, handlers: this.#handled, delay_ms: delayMs },
      `no handler for the job type ${type} (queue ${queue}): handed back for ${delayMs / 1_000} s; handlers here: ${known}`,
    );
  }
}
