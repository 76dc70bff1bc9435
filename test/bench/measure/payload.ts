/**
 * The payload of every job of every contestant: JSON text of an exact length that carries the job's number, by which
 * each delivery is counted, and, where latency is measured, the moment of its submit.
 */
export interface BenchPayload {
  /** Number of the job within its run. */
  n: number;
  /** Moment of the submit call, in milliseconds of the shared clock. */
  t?: number;
  /** Padding. */
  p: string;
}

/** A payload whose JSON text is exactly `bytes` long (or as short as it can be, if that is longer). */
export function benchPayload(number: number, bytes: number, submittedMs?: number): BenchPayload {
  const bare: BenchPayload = submittedMs === undefined ? { n: number, p: '' } : { n: number, t: submittedMs, p: '' };
  const missing = bytes - JSON.stringify(bare).length;
  return { ...bare, p: 'x'.repeat(Math.max(0, missing)) };
}
