import type { NewJob } from './types.ts';

/** More than id, type, content type and framing ever take: as skiplease.job_bytes() has it. */
const OVERHEAD = 384;

/** What a job weighs in a worker's window and in our memory: bytes, as skiplease.job_bytes() counts them (spaces in headers apart). */
export function jobBytes({ payload, headers }: NewJob): number {
  return OVERHEAD + payload.length + (headers === null ? 0 : Buffer.byteLength(headers));
}
