/**
 * Ids of the demo's jobs. They derive from run, copy and row, so that submitting again after a broken connection, or
 * after a crash, creates nothing twice.
 */
import { createHash } from 'node:crypto';
import { v7 } from 'uuid';

/** A run: one submit of a file. A UUIDv7, whose time the run's jobs share. */
export function newRun(): string {
  return v7();
}

/** A UUIDv7: the run's time, then 74 bits of a digest of run, copy and line in place of the random ones. */
export function jobIdOf(run: string, copy: number, line: number): string {
  const bytes = createHash('sha256').update(`${run}/${copy}/${line}`).digest().subarray(0, 16);
  bytes.write(run.replaceAll('-', '').slice(0, 12), 0, 'hex');
  bytes[6] = 0x70 | (bytes[6]! & 0x0f);
  bytes[8] = 0x80 | (bytes[8]! & 0x3f);
  const hex = bytes.toString('hex');
  return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-${hex.slice(12, 16)}-${hex.slice(16, 20)}-${hex.slice(20)}`;
}

/** The smallest and the largest id that a job of this run can have. */
export function jobIdRange(run: string): { least: string; most: string } {
  const time = run.slice(0, 13);
  return { least: `${time}-0000-0000-000000000000`, most: `${time}-ffff-ffff-ffffffffffff` };
}
