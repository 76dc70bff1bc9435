import type { Duration } from '../../proto/gen/google/protobuf/duration.ts';

/** Milliseconds (fractions too) as a google.protobuf.Duration. */
export function durationFromMs(milliseconds: number): Duration {
  const seconds = Math.trunc(milliseconds / 1_000);
  return { seconds, nanos: Math.round((milliseconds - seconds * 1_000) * 1_000_000) };
}

/** A google.protobuf.Duration in milliseconds; undefined where there is none. */
export function msFromDuration(duration: Duration): number;
export function msFromDuration(duration: Duration | undefined): number | undefined;
export function msFromDuration(duration: Duration | undefined): number | undefined {
  return duration === undefined ? undefined : duration.seconds * 1_000 + duration.nanos / 1_000_000;
}
