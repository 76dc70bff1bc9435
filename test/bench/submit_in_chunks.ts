/** How a flood is cut into calls. */
export interface Chunking {
  /** Number of the first job. */
  first: number;
  count: number;
  /** Jobs that one call submits. */
  together: number;
  /** Calls that are in flight at once. */
  inFlight: number;
}

/** Keeps `inFlight` calls going until all are submitted. */
export async function submitInChunks(
  { first, count, together, inFlight }: Chunking,
  submitChunk: (numbers: number[]) => Promise<void>,
): Promise<void> {
  const end = first + count;
  let next = first;
  const lane = async () => {
    while (next < end) {
      const start = next;
      next = Math.min(end, start + together);
      await submitChunk(Array.from({ length: next - start }, (_, index) => start + index));
    }
  };
  await Promise.all(Array.from({ length: inFlight }, lane));
}
