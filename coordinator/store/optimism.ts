/** After a conflict, how many statements go the careful way at once. */
const CAREFUL_RUNS = 20;

/**
 * Tries the cheap statement, which fails when an id exists already, before the one that copes with that. Where conflicts
 * are common (a client that sends everything twice), most statements go the careful way at once: a failed one leaves its
 * rows behind as dead ones.
 */
export class Optimism {
  #carefulRuns = 0;
  readonly #isConflict: (error: unknown) => boolean;

  constructor(isConflict: (error: unknown) => boolean) {
    this.#isConflict = isConflict;
  }

  async run<Result>(cheap: () => Promise<Result>, careful: () => Promise<Result>): Promise<Result> {
    if (this.#carefulRuns > 0) {
      this.#carefulRuns -= 1;
      return careful();
    }
    try {
      return await cheap();
    } catch (error) {
      if (!this.#isConflict(error)) {
        throw error;
      }
      this.#carefulRuns = CAREFUL_RUNS;
      return careful();
    }
  }
}
