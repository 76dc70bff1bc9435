/** Milliseconds that only ever grow, whatever is done to the wall clock. All the library's reckoning uses it. */
export function monotonicMs(): number {
  return performance.now();
}
