/**
 * Natural batching: what arrives while the last flush runs goes out together in the next one. No timers: an idle system
 * adds no latency, a busy one makes its batches larger by itself.
 */
export class Batcher<Item> {
  readonly #flush: (items: Item[]) => Promise<void>;
  readonly #weightMax: number;
  readonly #weigh: (item: Item) => number;
  #waiting: Item[] = [];
  #weight = 0;
  #running = false;
  #added = 0;
  #flushed = 0;
  /** Who waits in idle(), and for how many items of all that were ever added. */
  #idlers: { items: number; resolve(): void }[] = [];

  /** `flush` must settle its items itself and never reject. One flush takes items up to `weightMax` (at least one). */
  constructor(flush: (items: Item[]) => Promise<void>, weightMax: number, weigh: (item: Item) => number = () => 1) {
    this.#flush = flush;
    this.#weightMax = weightMax;
    this.#weigh = weigh;
  }

  /** Weight of what waits, not counting the flush that runs. */
  get waitingWeight(): number {
    return this.#weight;
  }

  add(item: Item): void {
    this.#waiting.push(item);
    this.#weight += this.#weigh(item);
    this.#added += 1;
    if (!this.#running) {
      this.#running = true;
      void this.#run();
    }
  }

  /** Resolves when everything added so far has been flushed, whatever is added meanwhile: under load that never ends. */
  idle(): Promise<void> {
    const items = this.#added;
    return this.#flushed >= items ? Promise.resolve() : new Promise((resolve) => this.#idlers.push({ items, resolve }));
  }

  async #run(): Promise<void> {
    // What else arrives in this turn of the event loop travels along.
    await new Promise(setImmediate);
    while (this.#waiting.length > 0) {
      const items = this.#take();
      await this.#flush(items);
      this.#flushed += items.length;
      while (this.#idlers.length > 0 && this.#idlers[0]!.items <= this.#flushed) {
        this.#idlers.shift()!.resolve();
      }
    }
    this.#running = false;
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
