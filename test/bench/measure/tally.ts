import { monotonicMs } from './clock.ts';

/** What became of the expected jobs. */
export interface Delivery {
  /** Jobs that there are. */
  expected: number;
  /** Of those, how many were waited for: all of them but where a worker is stopped with more still waiting. */
  enough: number;
  /** Handler calls in all. */
  handled: number;
  /** Jobs handled at least once. */
  distinct: number;
  /** Handler calls for a job that had been handled before. */
  duplicates: number;
  /** Handler calls for a job that was not expected. */
  strangers: number;
  /** Jobs whose completion the worker knows to be committed. */
  durable: number;
}

/**
 * Counts deliveries in the worker's process, job by job: that each one is handled exactly once is checked in every run,
 * since a queue that loses or repeats jobs is fast for the wrong reason.
 */
export class Tally {
  latenciesMs: number[] = [];
  #first = 0;
  #seen = new Uint8Array(0);
  #delivery: Delivery = nothing(0, 0);
  #lastDurableMs = 0;
  #finished: ((lastDurableMs: number) => void) | undefined;

  /** Starts over for the jobs numbered from `first`, of which `enough` are waited for. */
  expect(first: number, count: number, enough = count): void {
    this.latenciesMs = [];
    this.#first = first;
    this.#seen = new Uint8Array(count);
    this.#delivery = nothing(count, enough);
    this.#lastDurableMs = 0;
  }

  /**
   * As `expect`, but goes on counting: a job of before that comes again is a repeated one. `enough` counts from the
   * beginning. The worker has stopped in between, so what it handled by then is complete.
   */
  expectMore(first: number, count: number, enough = count): void {
    const seen = new Uint8Array(count);
    seen.set(this.#seen);
    this.#first = first;
    this.#seen = seen;
    this.#delivery = { ...this.#delivery, expected: count, enough, durable: this.#delivery.distinct };
  }

  /** A handler was called for this job. */
  handled(number: number): void {
    const index = number - this.#first;
    this.#delivery.handled += 1;
    if (index < 0 || index >= this.#seen.length) this.#delivery.strangers += 1;
    else if (this.#seen[index] === 1) this.#delivery.duplicates += 1;
    else {
      this.#seen[index] = 1;
      this.#delivery.distinct += 1;
    }
  }

  /** So many completions are known to be committed. */
  durable(count: number): void {
    if (count === 0) return;
    this.#delivery.durable += count;
    this.#lastDurableMs = monotonicMs();
    if (this.#isFinished()) this.#finished?.(this.#lastDurableMs);
  }

  get delivery(): Delivery {
    return { ...this.#delivery };
  }

  /**
   * Resolves with the moment of the last durable completion once so many expected jobs as are waited for were handled
   * and are durably complete. Rejects after the deadline, with what is missing.
   */
  async finished(deadlineMs: number): Promise<number> {
    if (this.#isFinished()) return this.#lastDurableMs;
    const { promise, resolve, reject } = Promise.withResolvers<number>();
    const timer = setTimeout(() => {
      reject(new Error(`not finished after ${deadlineMs} ms: ${JSON.stringify(this.#delivery)}`));
    }, deadlineMs);
    this.#finished = resolve;
    try {
      return await promise;
    } finally {
      clearTimeout(timer);
      this.#finished = undefined;
    }
  }

  #isFinished(): boolean {
    const { enough, distinct, durable } = this.#delivery;
    return distinct >= enough && durable >= enough;
  }
}

/**
 * True when, after the worker has stopped, so many jobs as were waited for were handled, each of them once and nothing
 * else, and each completion is committed. (A worker that is stopped while more wait hands jobs back, and hears that this
 * is committed too: then there are more receipts than completions, and its own records say how many of each.)
 */
export function isExact({ expected, enough, handled, distinct, strangers, durable }: Delivery): boolean {
  const allDurable = enough < expected ? durable >= distinct : durable === distinct;
  return distinct >= enough && handled === distinct && strangers === 0 && allDurable;
}

function nothing(expected: number, enough: number): Delivery {
  return { expected, enough, handled: 0, distinct: 0, duplicates: 0, strangers: 0, durable: 0 };
}
