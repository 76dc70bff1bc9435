import { monotonicMs } from '../clock.ts';

/**
 * Until when the coordinator vouches for what we hold. Past it another worker may be given our jobs, so nothing new
 * is started; what runs goes on, since its report is still checked against the lease and may well count.
 */
export class Validity {
  #untilMs = 0;

  /** On the monotonic clock, counted from our own send: the answer's way back only makes us more careful. */
  extendTo(untilMs: number): void {
    this.#untilMs = Math.max(this.#untilMs, untilMs);
  }

  isValid(): boolean {
    return monotonicMs() < this.#untilMs;
  }
}
