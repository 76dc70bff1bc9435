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

/** Text that holds nothing but its length; made once for each length. */
const paddings = new Map<number, string>();

/** A payload whose JSON text is exactly `bytes` long (or as short as it can be, if that is longer). */
export function benchPayload(number: number, bytes: number, submittedMs?: number): BenchPayload {
  if (submittedMs === undefined) return { n: number, p: padding(bytes - `{"n":${number},"p":""}`.length) };
  return { n: number, t: submittedMs, p: padding(bytes - `{"n":${number},"t":${submittedMs},"p":""}`.length) };
}

function padding(missing: number): string {
  const bytes = Math.max(0, missing);
  let text = paddings.get(bytes);
  if (text === undefined) paddings.set(bytes, (text = 'x'.repeat(bytes)));
  return text;
}
