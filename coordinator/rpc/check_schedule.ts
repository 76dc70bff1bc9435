import { JobSpec } from '../../proto/gen/skiplease/v1/job.ts';
import { MissedTicks as WireMissedTicks, Overlap as WireOverlap } from '../../proto/gen/skiplease/v1/schedule_service.ts';
import type { Schedule } from '../../proto/gen/skiplease/v1/schedule_service.ts';
import { cronProblem, timeZoneProblem } from '../engine/cron_line.ts';
import type { TickedJob } from '../engine/ticker.ts';
import { invalidArgument, refuseInvalid, SkipleaseError } from '../errors.ts';
import type { FieldViolation } from '../errors.ts';
import type { NewSchedule } from '../store/schedules.ts';
import { MissedTicks, Overlap } from '../types.ts';
import type { NewJob } from '../types.ts';
import { newJobId } from './ids.ts';
import { isName, NAME_WORDS } from './names.ts';
import { checkJob } from './validate.ts';
import type { JobRules } from './job_rules.ts';

/** Tells the handler which tick its job is of. */
export const TICK_HEADER = 'skiplease-tick';

const CRON_WORDS = 'five fields (minute hour day month weekday), six with seconds first, or @hourly, @daily, @weekly, @monthly, @yearly are accepted';
const ZONE_WORDS = 'IANA names such as Europe/Berlin are accepted, or none for UTC';

/** Fields of a job that a tick decides, or that make no sense more than once. */
const FORBIDDEN: [field: string, isSet: (job: JobSpec) => boolean][] = [
  ['id', ({ id }) => id !== ''],
  ['start', ({ start }) => start !== undefined],
  ['deadline', ({ deadline }) => deadline !== undefined],
  ['batch_id', ({ batchId }) => batchId !== ''],
  ['after_job_ids', ({ afterJobIds }) => afterJobIds.length > 0],
];

/** What a schedule submits at a tick. INVALID_ARGUMENT when the limits have changed since it was put. */
export function tickedJob({ schedule, spec, id, nowMs, tickMs }: TickedJob, payloadBytesMax: number): NewJob {
  return ofSchedule(schedule, jobOfTick(JobSpec.decode(spec), id, tickMs, { nowMs, payloadBytesMax }, 'job'));
}

/** What a schedule submits besides its ticks. */
export function triggeredJob(schedule: string, spec: Uint8Array, id: string, rules: JobRules): NewJob {
  return ofSchedule(schedule, checkJob({ ...JobSpec.decode(spec), id }, rules, 'job'));
}

/** A schedule that is to be put; INVALID_ARGUMENT with all that is wrong with it. */
export function checkSchedule(schedule: Schedule | undefined, rules: JobRules): NewSchedule {
  if (schedule === undefined) {
    throw invalidArgument([{ field: 'schedule', description: 'is missing' }]);
  }
  const { name, cron, timeZone, job, paused } = schedule;
  const violations: FieldViolation[] = [];
  const violate = (field: string, description: string | undefined) => {
    if (description !== undefined) {
      violations.push({ field: `schedule.${field}`, description });
    }
  };
  violate('name', isName(name) ? undefined : NAME_WORDS);
  violate('cron', withWords(cron, cronProblem(cron), CRON_WORDS));
  violate('time_zone', withWords(timeZone, timeZoneProblem(timeZone), ZONE_WORDS));
  const missedTicks = schedule.missedTicks === WireMissedTicks.UNSPECIFIED ? MissedTicks.RUN_LATEST : schedule.missedTicks;
  violate('missed_ticks', Object.values<number>(MissedTicks).includes(missedTicks) ? undefined : `${missedTicks} is not a MissedTicks`);
  const overlap = schedule.overlap === WireOverlap.UNSPECIFIED ? Overlap.ALLOW : schedule.overlap;
  violate('overlap', Object.values<number>(Overlap).includes(overlap) ? undefined : `${overlap} is not an Overlap`);
  violations.push(...jobViolations(job, rules, 'schedule.job'));
  refuseInvalid(violations);
  return {
    name, cron, timeZone, spec: JobSpec.encode(job!).finish(), missedTicks: missedTicks as MissedTicks, overlap: overlap as Overlap, paused,
  };
}

function ofSchedule(schedule: string, job: NewJob): NewJob {
  return { ...job, options: { ...job.options, schedule } };
}

function jobOfTick(spec: JobSpec, id: string, tickMs: number, rules: JobRules, field: string): NewJob {
  return checkJob({ ...spec, id, headers: { ...spec.headers, [TICK_HEADER]: new Date(tickMs).toISOString() } }, rules, field);
}

function jobViolations(job: JobSpec | undefined, rules: JobRules, field: string): FieldViolation[] {
  if (job === undefined) {
    return [{ field, description: 'is missing' }];
  }
  const forbidden = FORBIDDEN.filter(([, isSet]) => isSet(job))
    .map(([name]) => ({ field: `${field}.${name}`, description: 'must not be set in a schedule' }));
  try {
    jobOfTick({ ...job, start: undefined }, newJobId(rules.nowMs), rules.nowMs, rules, field);
    return forbidden;
  } catch (error) {
    if (!(error instanceof SkipleaseError)) {
      throw error;
    }
    return [...forbidden, ...error.violations];
  }
}

function withWords(given: string, problem: string | undefined, words: string): string | undefined {
  return problem === undefined ? undefined : `${JSON.stringify(given.slice(0, 100))} cannot be used (${problem}): ${words}`;
}
