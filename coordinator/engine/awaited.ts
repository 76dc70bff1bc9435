/** Job ids from the lowest to the highest: text of UUIDs, which sorts as they do. */
export interface IdRange {
  min: string;
  max: string;
}

/**
 * Between which ids the jobs lie that others wait for, as far as this coordinator knows: those outside need not be asked
 * for when they end. Ids are times, so a graph costs nothing to the jobs that are submitted after it.
 *
 * Known from hints, and from the turns of the sweep over all that is waited for: what was heard or seen in one turn holds
 * until the end of the next.
 */
export class Awaited {
  /** Nobody has looked yet: everything. */
  #now: IdRange | undefined = { min: '', max: '~' };
  #next: IdRange | undefined;

  get empty(): boolean {
    return this.#now === undefined;
  }

  has(jobId: string): boolean {
    return this.#now !== undefined && jobId >= this.#now.min && jobId <= this.#now.max;
  }

  /** Somebody waits for jobs between these. */
  add(range: IdRange): void {
    this.#now = span(this.#now, range);
    this.#next = span(this.#next, range);
  }

  /** The sweep has seen all there is, and begins anew. */
  turn(): void {
    this.#now = this.#next;
    this.#next = undefined;
  }
}

/** The range of these ids; undefined: there are none. */
export function rangeOf(ids: Iterable<string>): IdRange | undefined {
  let range: IdRange | undefined;
  for (const id of ids) {
    range = span(range, { min: id, max: id });
  }
  return range;
}

function span(a: IdRange | undefined, b: IdRange): IdRange {
  return a === undefined ? b : { min: a.min < b.min ? a.min : b.min, max: a.max > b.max ? a.max : b.max };
}
