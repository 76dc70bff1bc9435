import { UniqueConflict, UniqueScope, type UniqueKey as WireKey } from '../../proto/gen/skiplease/v1/job.ts';
import { durationFromMs, msFromDuration } from './duration.ts';

/** A key that at most one job has at a time. */
export interface UniqueKey {
  /** 1 to 256 characters. */
  key: string;
  /** Where it holds. Default QUEUE. */
  scope?: 'QUEUE' | 'QUEUE_AND_TYPE';
  /** For so long from the submit, in milliseconds, whatever becomes of the job. Default: until the job is final. */
  lifetimeMs?: number;
  /**
   * When the key is taken. Default RETURN_EXISTING: nothing is created, and the answer names the job that has it. REJECT:
   * ALREADY_EXISTS. REPLACE: one that waits is cancelled for the new one; one that runs is returned.
   */
  onConflict?: 'RETURN_EXISTING' | 'REJECT' | 'REPLACE';
}

export function wireUniqueKey({ key, scope = 'QUEUE', lifetimeMs, onConflict = 'RETURN_EXISTING' }: UniqueKey): WireKey {
  return {
    key,
    scope: UniqueScope[scope],
    lifetime: lifetimeMs === undefined ? undefined : durationFromMs(lifetimeMs),
    onConflict: UniqueConflict[onConflict],
  };
}

export function uniqueKeyFrom({ key, scope, lifetime, onConflict }: WireKey): UniqueKey {
  return {
    key,
    scope: scope === UniqueScope.QUEUE_AND_TYPE ? 'QUEUE_AND_TYPE' : 'QUEUE',
    ...(lifetime === undefined ? {} : { lifetimeMs: msFromDuration(lifetime) }),
    onConflict: onConflict === UniqueConflict.REJECT ? 'REJECT' : onConflict === UniqueConflict.REPLACE ? 'REPLACE' : 'RETURN_EXISTING',
  };
}
