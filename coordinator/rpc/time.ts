import type { Duration } from '../../proto/gen/google/protobuf/duration.ts';
import type { FieldViolation } from '../errors.ts';

export const DAY_MS = 86_400_000;
export const YEAR_MS = 365 * DAY_MS;

/** google.protobuf.Timestamp goes from the year 1 to 9999. */
const TIMESTAMP_MS_MIN = Date.parse('0001-01-01T00:00:00Z');
const TIMESTAMP_MS_MAX = Date.parse('9999-12-31T23:59:59.999Z');
const NANOS_MAX = 999_999_999;

export function toDuration(ms: number): Duration {
  const seconds = Math.trunc(ms / 1_000);
  return { seconds, nanos: Math.round((ms - seconds * 1_000) * 1_000_000) };
}

/** Bounds of a duration, in milliseconds, and how people call them. */
export interface DurationBounds {
  minMs: number;
  maxMs: number;
  /** Such as "1 ms to 30 days". */
  words: string;
}

/** Whole milliseconds, rounded up; undefined and a violation when the duration is malformed or out of bounds. */
export function durationMs(duration: Duration, bounds: DurationBounds, field: string, violations: FieldViolation[]): number | undefined {
  const { seconds, nanos } = duration;
  if (Math.abs(nanos) > NANOS_MAX || (seconds > 0 && nanos < 0) || (seconds < 0 && nanos > 0)) {
    violations.push({ field, description: `not a duration: ${seconds} seconds and ${nanos} nanos` });
    return undefined;
  }
  const ms = Math.ceil(seconds * 1_000 + nanos / 1_000_000);
  if (seconds < 0 || nanos < 0 || ms < bounds.minMs || ms > bounds.maxMs) {
    violations.push({ field, description: `${seconds + nanos / 1e9} s is out of bounds: ${bounds.words}` });
    return undefined;
  }
  return ms;
}

/** Milliseconds since 1970; undefined and a violation when it is no time from the year 1 to 9999. */
export function timestampMs(time: Date, field: string, violations: FieldViolation[]): number | undefined {
  const ms = time.getTime();
  if (Number.isNaN(ms) || ms < TIMESTAMP_MS_MIN || ms > TIMESTAMP_MS_MAX) {
    violations.push({ field, description: 'not a time from the year 1 to 9999' });
    return undefined;
  }
  return ms;
}
