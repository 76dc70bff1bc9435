import type { Clock } from '../clock.ts';

/**
 * How this coordinator stands with the database. Its row is renewed by each tick; others give it up when the row has been
 * expired for a time to live. What it may promise to workers, and whether it may reap, follows from that alone.
 */
export class Standing {
  readonly #ttlMs: number;
  readonly #clock: Clock;
  /** When the last tick that committed was sent: from then its row lives for a TTL, and one more until others act. */
  #renewedMs = -Infinity;
  /** Since when ticks have committed without a break. */
  #steadySinceMs = Infinity;
  #offsetMs = 0;
  /** Times that others may have given us up, and how many of them have been looked into. */
  #doubts = 0;
  #doubtsSettled = 0;

  constructor(ttlMs: number, clock: Clock) {
    this.#ttlMs = ttlMs;
    this.#clock = clock;
  }

  /**
   * A tick that was sent at that moment has committed; `databaseMs` is what the database's clock said. `givenUp`: our row was
   * gone. After that, or a break in which it may have been, some leases may be others' by now: nothing is promised until it
   * was looked which.
   */
  renewed(sentMs: number, databaseMs: number, givenUp = false): void {
    const first = this.#renewedMs === -Infinity;
    const broken = sentMs - this.#renewedMs > this.#ttlMs;
    if (broken) {
      this.#steadySinceMs = this.#clock.nowMs();
    }
    if (givenUp || (broken && !first)) {
      this.#doubts += 1;
    }
    this.#renewedMs = sentMs;
    this.#offsetMs = databaseMs - (sentMs + this.#clock.nowMs()) / 2;
  }

  /** How many doubts there have been, if one is open: to be given to `settleDoubts` after a look that begins now. */
  get openDoubts(): number | undefined {
    return this.#doubts === this.#doubtsSettled ? undefined : this.#doubts;
  }

  /** What others took is known, and our workers have been told. */
  settleDoubts(doubts: number): void {
    this.#doubtsSettled = doubts;
  }

  /** Nothing is reaped before the fleet has had a TTL of good service in which to renew. */
  get mayReap(): boolean {
    const nowMs = this.#clock.nowMs();
    return nowMs - this.#renewedMs < this.#ttlMs && nowMs - this.#steadySinceMs >= this.#ttlMs;
  }

  /** How long a worker's leases are safe, counted from a heartbeat that arrives now: a TTL while all is well, less after. */
  validForMs(): number {
    if (this.openDoubts !== undefined) {
      return 0;
    }
    const expiredMs = this.#clock.nowMs() - this.#renewedMs - this.#ttlMs;
    return Math.max(0, Math.min(this.#ttlMs, this.#ttlMs - expiredMs));
  }

  /** Milliseconds since the last tick that committed was sent. */
  get silentMs(): number {
    return this.#clock.nowMs() - this.#renewedMs;
  }

  /** Milliseconds of the database's clock, now. */
  databaseNowMs(): number {
    return this.#clock.nowMs() + this.#offsetMs;
  }
}
