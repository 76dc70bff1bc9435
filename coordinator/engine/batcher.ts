/**
 * Natural batching: what arrives while the last flush runs goes out together in the next one. No timers: an idle system
 * adds no latency, a busy one makes its batches larger by itself.
 */
export class Batcher<Item> {
  readonly #flush: (items: Item[]) => Promise<void>;
  readonly #weightMax: number;
  readonly #weigh: (item: Item) => number;
  readonly #flightsMax: number;
  #waiting: Item[] = [];
  #weight = 0;
  /** Flushes under way. */
  #flights = 0;
  #starting = false;
  #added = 0;
  #flushed = 0;
  /** Resolves when every flush so far has ended. */
  #last: Promise<void> = Promise.resolve();
  /** Who waits in idle(), and for how many items of all that were ever added. */
  #idlers: { items: number; resolve(): void }[] = [];

  /**
   * `flush` must settle its items itself and never reject. One flush takes items up to `weightMax` (at least one). With
   * `flightsMax` above one, the next begins while one is under way, once half a flush waits: in a flood there is always one
   * ready when the other ends, and without one batches stay as large as they can be.
   */
  constructor(flush: (items: Item[]) => Promise<void>, weightMax: number, weigh: (item: Item) => number = () => 1, flightsMax = 1) {
    this.#flush = flush;
    this.#weightMax = weightMax;
    this.#weigh = weigh;
    this.#flightsMax = flightsMax;
  }

  /** Weight of what waits, not counting the flushes that run. */
  get waitingWeight(): number {
    return this.#weight;
  }

  add(item: Item): void {
    this.#waiting.push(item);
    this.#weight += this.#weigh(item);
    this.#added += 1;
    if (this.#flights > 0) {
      this.#join();
    } else if (!this.#starting) {
      this.#starting = true;
      // What else arrives in this turn of the event loop travels along.
      setImmediate(() => {
        this.#starting = false;
        this.#launch();
      });
    }
  }

  /** Resolves when everything added so far has been flushed, whatever is added meanwhile: under load that never ends. */
  idle(): Promise<void> {
    const items = this.#added;
    return this.#flushed >= items ? Promise.resolve() : new Promise((resolve) => this.#idlers.push({ items, resolve }));
  }

  /** Begins another flush beside the ones under way, if it is worth it. */
  #join(): void {
    if (this.#flights < this.#flightsMax && this.#weight >= this.#weightMax / 2) {
      this.#launch();
    }
  }

  #launch(): void {
    if (this.#waiting.length > 0) {
      this.#flights += 1;
      this.#last = this.#fly(this.#take(), this.#last);
    }
  }

  async #fly(items: Item[], before: Promise<void>): Promise<void> {
    await this.#flush(items);
    this.#flights -= 1;
    if (this.#flights === 0) {
      this.#launch();
    } else {
      this.#join();
    }
    await before;
    this.#flushed += items.length;
    while (this.#idlers.length > 0 && this.#idlers[0]!.items <= this.#flushed) {
      this.#idlers.shift()!.resolve();
    }
  }

  #take(): Item[] {
    if (this.#weight <= this.#weightMax) {
      const all = this.#waiting;
      this.#waiting = [];
      this.#weight = 0;
      return all;
    }
    let weight = 0;
    let count = 0;
    while (count < this.#waiting.length) {
      const next = this.#weigh(this.#waiting[count]!);
      if (count > 0 && weight + next > this.#weightMax) {
        break;
      }
      weight += next;
      count += 1;
    }
    this.#weight -= weight;
    return this.#waiting.splice(0, count);
  }
}
