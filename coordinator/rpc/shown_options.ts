import { AfterPolicy, UniqueConflict, UniqueScope } from '../../proto/gen/skiplease/v1/job.ts';
import type { Job } from '../../proto/gen/skiplease/v1/job.ts';
import type { JobOptions } from '../types.ts';
import { toDuration } from './time.ts';

type Shown = Pick<Job, 'startBy' | 'retryPolicy' | 'unique' | 'serialKey' | 'limitKey' | 'batchId' | 'afterPolicy' | 'schedule'>;

const NOTHING: Shown = {
  startBy: undefined, retryPolicy: undefined, unique: undefined, serialKey: '', limitKey: '', batchId: '',
  afterPolicy: AfterPolicy.UNSPECIFIED, schedule: '',
};

/** What a job asked for beyond the usual, as the wire says it. */
export function shownOptions(options: JobOptions | null): Shown {
  if (options === null) {
    return NOTHING;
  }
  const { retry, unique } = options;
  return {
    startBy: options.startByMs === undefined ? undefined : new Date(options.startByMs),
    retryPolicy: retry && {
      maxAttempts: undefined,
      initialBackoff: retry.initialMs === undefined ? undefined : toDuration(retry.initialMs),
      factor: retry.factor,
      maxBackoff: retry.maxMs === undefined ? undefined : toDuration(retry.maxMs),
      jitter: retry.jitter,
    },
    unique: unique && {
      key: unique.key,
      scope: unique.scope === 'queue_and_type' ? UniqueScope.QUEUE_AND_TYPE : UniqueScope.QUEUE,
      lifetime: unique.lifetimeMs === null ? undefined : toDuration(unique.lifetimeMs),
      onConflict: { return_existing: UniqueConflict.RETURN_EXISTING, reject: UniqueConflict.REJECT, replace: UniqueConflict.REPLACE }[unique.onConflict],
    },
    serialKey: options.serialKey ?? '',
    limitKey: options.limitKey ?? '',
    batchId: options.batchId ?? '',
    afterPolicy: options.afterPolicy === undefined ? AfterPolicy.UNSPECIFIED
      : options.afterPolicy === 'run_anyway' ? AfterPolicy.RUN_ANYWAY : AfterPolicy.CANCEL,
    schedule: options.schedule ?? '',
  };
}
