import { MissedTicks, Overlap } from '../../proto/gen/skiplease/v1/schedule_service.ts';
import type { Schedule } from '../../proto/gen/skiplease/v1/schedule_service.ts';
import type { JobSpec } from '../../proto/gen/skiplease/v1/job.ts';
import type { PayloadCodec } from '../codec/codec.ts';
import { specFrom } from '../new_job.ts';
import type { NewJob } from '../new_job.ts';
import { msFromDuration } from '../wire/duration.ts';
import { readPayload } from '../wire/payload.ts';
import { retryPolicyFrom } from '../wire/retry_policy.ts';
import { uniqueKeyFrom } from '../wire/unique_key.ts';
import { nameOf } from './job_snapshot.ts';

/** What each tick submits: a job without what the tick decides, or what makes no sense more than once. */
export type ScheduledJob = Omit<NewJob, 'id' | 'runAt' | 'delayMs' | 'startBy' | 'startWithinMs' | 'batchId' | 'afterJobIds' | 'afterPolicy'>;

/** A cron line that submits a job. */
export interface NewSchedule {
  name: string;
  /** Five fields (minute hour day month weekday), or six with seconds first; or `@daily` and the like. */
  cron: string;
  /** IANA name, such as Europe/Berlin. Default: UTC. */
  timeZone?: string;
  /** The job of a tick also has the header `skiplease-tick`: the time of the tick. */
  job: ScheduledJob;
  /** What becomes of ticks that passed while no coordinator was there. Default: RUN_LATEST. */
  missedTicks?: 'RUN_LATEST' | 'RUN_ALL' | 'SKIP';
  /** What becomes of a tick while the job of the one before is not final. Default: ALLOW. */
  overlap?: 'ALLOW' | 'SKIP' | 'REPLACE';
  paused?: boolean;
}

/** A schedule as it stood when the coordinator answered. */
export interface ScheduleSnapshot extends Required<NewSchedule> {
  /** undefined while paused, and when there is none. */
  nextTime: Date | undefined;
  /** The last tick that submitted a job, and that job. */
  lastTime: Date | undefined;
  lastJobId: string;
  ticksSkipped: number;
}

/** Throws TypeError for a payload that JSON cannot hold. Everything else is the coordinator's to judge. */
export function wireSchedule({ name, cron, timeZone = '', job, missedTicks = 'RUN_LATEST', overlap = 'ALLOW', paused = false }: NewSchedule, codec?: PayloadCodec): Schedule {
  return {
    name, cron, timeZone, job: { ...specFrom(job, codec), id: '' }, missedTicks: MissedTicks[missedTicks], overlap: Overlap[overlap], paused,
    nextTime: undefined, lastTime: undefined, lastJobId: '', ticksSkipped: 0,
  };
}

export function scheduleFrom({ job, missedTicks, overlap, ...same }: Schedule, codec?: PayloadCodec): ScheduleSnapshot {
  return {
    ...same,
    job: jobFrom(job!, codec),
    missedTicks: nameOf(MissedTicks, missedTicks) as ScheduleSnapshot['missedTicks'],
    overlap: nameOf(Overlap, overlap) as ScheduleSnapshot['overlap'],
  };
}

function jobFrom({ queue, type, payload, priority, maxAttempts, timeout, headers, retryPolicy, unique, serialKey, limitKey }: JobSpec, codec?: PayloadCodec): ScheduledJob {
  const content = readPayload(payload, codec);
  const timeoutMs = msFromDuration(timeout);
  return {
    queue, type, priority, headers,
    ...(payload && { payload: content?.value, ...(content && content.contentType !== '' && { contentType: content.contentType }) }),
    ...(maxAttempts > 0 && { maxAttempts }),
    ...(timeoutMs !== undefined && { timeoutMs }),
    ...(retryPolicy && { retryPolicy: retryPolicyFrom(retryPolicy) }),
    ...(unique && { unique: uniqueKeyFrom(unique) }),
    ...(serialKey !== '' && { serialKey }),
    ...(limitKey !== '' && { limitKey }),
  };
}
