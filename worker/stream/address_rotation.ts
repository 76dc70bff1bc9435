import { backoffMs, reconnectBackoff } from './backoff.ts';

/** A session that lived this long (milliseconds) was a good one: the next break starts counting afresh. */
export const goodSessionMs = 1_000;

/**
 * Whom to try next, and how soon. Every address is tried once without a wait, so that a coordinator's death leads
 * straight to the next one; only when all have failed in a row does the backoff begin.
 */
export class AddressRotation {
  readonly #addresses: readonly string[];
  readonly #random: () => number;
  #next = 0;
  #failures = 0;
  /** The longest wait, in milliseconds. Lowered once the lease's time to live is known. */
  waitMsMax = reconnectBackoff.mostMs;

  constructor(addresses: readonly string[], random: () => number = Math.random) {
    this.#addresses = addresses;
    this.#random = random;
  }

  /** The next address in turn; another one than `avoided`, if there is another. */
  next(avoided?: string): string {
    const count = this.#addresses.length;
    const skip = count > 1 && this.#addresses[this.#next] === avoided ? 1 : 0;
    const index = (this.#next + skip) % count;
    this.#next = (index + 1) % count;
    return this.#addresses[index]!;
  }

  /** Milliseconds to wait before that try. */
  waitMs(): number {
    const rounds = this.#failures - this.#addresses.length;
    if (rounds < 0) return 0;
    return backoffMs(rounds, { ...reconnectBackoff, mostMs: this.waitMsMax }, this.#random);
  }

  /** A try failed, or a session ended. */
  failed(sessionLivedMs = 0): void {
    this.#failures = sessionLivedMs >= goodSessionMs ? 0 : this.#failures + 1;
  }
}
