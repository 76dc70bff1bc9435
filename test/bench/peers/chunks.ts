/** How many jobs one call submits, for every peer that takes many at once. */
export const JOBS_PER_CALL = 1_000;
/** Calls in flight at once, as many as Skiplease has streams. */
export const CALLS_IN_FLIGHT = 4;

/** Cuts `count` numbers from `first` into runs of `JOBS_PER_CALL` and keeps `CALLS_IN_FLIGHT` calls going. */
export async function submitInChunks(
  first: number,
  count: number,
  submitChunk: (numbers: number[]) => Promise<void>,
): Promise<void> {
  const end = first + count;
  let next = first;
  const lane = async () => {
    while (next < end) {
      const start = next;
      next = Math.min(end, start + JOBS_PER_CALL);
      await submitChunk(Array.from({ length: next - start }, (_, index) => start + index));
    }
  };
  await Promise.all(Array.from({ length: CALLS_IN_FLIGHT }, lane));
}
