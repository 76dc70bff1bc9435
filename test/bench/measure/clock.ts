/**
 * Milliseconds of a clock that all processes of this machine share (CLOCK_MONOTONIC on Linux, mach time on macOS),
 * so that a time taken in the submitter can be subtracted from one taken in the worker.
 */
export function monotonicMs(): number {
  return Number(process.hrtime.bigint()) / 1e6;
}
