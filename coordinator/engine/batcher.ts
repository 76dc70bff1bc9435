/** What waits of one client: first come, first served. */
class Lane<Item> {
  readonly waiting: Item[] = [];
  weight = 0;
  added = 0;
  flushed = 0;
  /** Who waits in idle(), and for how many items of all that were ever added. */
  readonly idlers: { items: number; resolve(): void }[] = [];
}

/**
 * Natural batching: what arrives while the last flush runs goes out together in the next one. No timers: an idle system
 * adds no latency, a busy one makes its batches larger by itself.
 *
 * Items stand in lanes (those of one client each, say; one for all where nobody says). Where not all that waits fits into a
 * flush, each lane gets an even share of it: whoever has a mountain waiting does not keep others from the next flush.
 */
export class Batcher<Item> {
  readonly #flush: (items: Item[]) => Promise<void>;
  readonly #weightMax: number;
  readonly #weigh: (item: Item) => number;
  readonly #laneOf: (item: Item) => string;
  /** Those with something that waits, or is being flushed; in turn: the first begins the next flush. */
  readonly #lanes = new Map<string, Lane<Item>>();
  /** What waits, not counting the flush that runs. */
  #items = 0;
  #weight = 0;
  #running = false;

  /** `flush` must settle its items itself and never reject. One flush takes items up to `weightMax` (at least one). */
  constructor(
    flush: (items: Item[]) => Promise<void>, weightMax: number, weigh: (item: Item) => number = () => 1, laneOf: (item: Item) => string = () => '',
  ) {
    this.#flush = flush;
    this.#weightMax = weightMax;
    this.#weigh = weigh;
    this.#laneOf = laneOf;
  }

  /** All that this lane would get of the next flush is waiting in it already. */
  isFull(name: string): boolean {
    const weight = this.#lanes.get(name)?.weight ?? 0;
    return this.#weight >= this.#weightMax && weight >= this.#weightMax / Math.max(1, this.#lanes.size);
  }

  add(item: Item): void {
    const name = this.#laneOf(item);
    let lane = this.#lanes.get(name);
    if (lane === undefined) {
      lane = new Lane();
      this.#lanes.set(name, lane);
    }
    const weight = this.#weigh(item);
    lane.waiting.push(item);
    lane.weight += weight;
    lane.added += 1;
    this.#items += 1;
    this.#weight += weight;
    if (!this.#running) {
      this.#running = true;
      void this.#run();
    }
  }

  /** Resolves when everything added to this lane so far has been flushed, whatever is added meanwhile: under load that never ends. */
  idleLane(name: string): Promise<void> {
    const lane = this.#lanes.get(name);
    return lane === undefined ? Promise.resolve() : idle(lane);
  }

  /** The same for all lanes. */
  async idle(): Promise<void> {
    await Promise.all([...this.#lanes.values()].map(idle));
  }

  async #run(): Promise<void> {
    // What else arrives in this turn of the event loop travels along.
    await new Promise(setImmediate);
    while (this.#items > 0) {
      const items = this.#weight <= this.#weightMax ? this.#takeAll() : this.#takeShares();
      this.#items -= items.length;
      await this.#flush(items);
      this.#flushed(items);
    }
    this.#running = false;
  }

  #flushed(items: Item[]): void {
    if (this.#lanes.size === 1) {
      this.#flushedOf(this.#lanes.keys().next().value!, items.length);
    } else {
      Map.groupBy(items, this.#laneOf).forEach((own, name) => this.#flushedOf(name, own.length));
    }
  }

  #flushedOf(name: string, items: number): void {
    const lane = this.#lanes.get(name)!;
    lane.flushed += items;
    while (lane.idlers.length > 0 && lane.idlers[0]!.items <= lane.flushed) {
      lane.idlers.shift()!.resolve();
    }
    if (lane.flushed === lane.added) {
      this.#lanes.delete(name);
    }
  }

  #takeAll(): Item[] {
    this.#weight = 0;
    const all = [...this.#lanes.values()].map((lane) => {
      lane.weight = 0;
      return lane.waiting.splice(0);
    });
    return all.length === 1 ? all[0]! : all.flat();
  }

  /** Round by round: an even share for each lane that still has something, of what is left. */
  #takeShares(): Item[] {
    const taken: Item[] = [];
    let left = this.#weightMax;
    let progress = true;
    while (progress && left > 0) {
      progress = false;
      const open = [...this.#lanes].filter(([, lane]) => lane.waiting.length > 0);
      const share = Math.max(1, left / open.length);
      for (const [, lane] of open) {
        const { count, weight } = this.#head(lane, share, left, taken.length === 0);
        taken.push(...lane.waiting.splice(0, count));
        lane.weight -= weight;
        this.#weight -= weight;
        left -= weight;
        progress ||= count > 0;
      }
    }
    this.#turn();
    return taken;
  }

  /** How many of a lane's first items make up its share, the last of them as a whole where that fits; the very first always does. */
  #head(lane: Lane<Item>, share: number, left: number, first: boolean): { count: number; weight: number } {
    let count = 0;
    let weight = 0;
    while (count < lane.waiting.length && weight < share) {
      const next = this.#weigh(lane.waiting[count]!);
      if (weight + next > left && !(first && count === 0)) {
        break;
      }
      weight += next;
      count += 1;
    }
    return { count, weight };
  }

  #turn(): void {
    const [first] = this.#lanes;
    if (first !== undefined && this.#lanes.size > 1) {
      this.#lanes.delete(first[0]);
      this.#lanes.set(...first);
    }
  }
}

function idle(lane: Lane<unknown>): Promise<void> {
  const items = lane.added;
  return lane.flushed >= items ? Promise.resolve() : new Promise((resolve) => lane.idlers.push({ items, resolve }));
}
