import { JobSpec } from '../../proto/gen/skiplease/v1/job.ts';
import { ScheduleServiceService } from '../../proto/gen/skiplease/v1/schedule_service.ts';
import type { MissedTicks, Overlap, Schedule, ScheduleServiceServer } from '../../proto/gen/skiplease/v1/schedule_service.ts';
import { nextTickMs } from '../engine/cron_line.ts';
import type { Engine } from '../engine/engine.ts';
import { SkipleaseError } from '../errors.ts';
import type { Access, Capability } from '../security/access.ts';
import type { Pool } from '../store/pool.ts';
import { deleteSchedule, getSchedule, listSchedules, pauseSchedule, putSchedule, resumeSchedule } from '../store/schedules.ts';
import type { ScheduleRow } from '../store/schedules.ts';
import { checkQueueName, noSuchSchedule } from './check_names.ts';
import { checkSchedule, triggeredJob } from './check_schedule.ts';
import { checkPageSize, CURSOR, makePageToken, readPageToken } from './page_token.ts';
import type { UnaryCalls } from './unary.ts';
import { checkNewJobId } from './validate.ts';

const PAGE_SIZE = 100;
const PAGE_SIZE_MAX = 1_000;

export interface ScheduleServiceDependencies {
  engine: Engine;
  pool: Pool;
  payloadBytesMax: number;
  calls: UnaryCalls;
}

export { ScheduleServiceService as scheduleServiceDefinition };

/** skiplease.v1.ScheduleService */
export function scheduleService({ engine, pool, payloadBytesMax, calls }: ScheduleServiceDependencies): ScheduleServiceServer {
  const rules = () => ({ nowMs: engine.nowMs(), payloadBytesMax });
  const changed = (row: ScheduleRow) => {
    if (row.nextAtMs !== null) {
      engine.scheduleChanged(row.nextAtMs);
    }
    return { schedule: message(row) };
  };
  /** What `act` finds under that name; NOT_FOUND when it finds nothing, or a schedule of a queue where the caller has not the capability. */
  const found = async <Found>(
    given: string, access: Access, capability: Capability, act: (name: string) => Promise<Found | undefined>,
  ): Promise<Found> => {
    const name = checkQueueName(given, 'name');
    const theirs = access.mayInEveryQueue(capability) || isTheirs(access, capability, await getSchedule(pool, name));
    const row = theirs ? await act(name) : undefined;
    if (row === undefined) {
      throw noSuchSchedule(name);
    }
    return row;
  };

  return {
    putSchedule: calls.ordinary(async ({ schedule }, _stopped, access) => {
      const checked = checkSchedule(schedule, rules());
      const replaced = access.mayInEveryQueue('admin') ? undefined : await getSchedule(pool, checked.name);
      if (replaced !== undefined && !isTheirs(access, 'admin', replaced)) {
        throw new SkipleaseError('ALREADY_EXISTS', 'SCHEDULE_NAME_TAKEN', `A schedule of a queue that is not yours has the name ${checked.name}: choose another.`);
      }
      return changed(await putSchedule(pool, checked, nextTickMs));
    }),

    getSchedule: calls.ordinary(async ({ name }, _stopped, access) => ({
      schedule: message(await found(name, access, 'read', (checked) => getSchedule(pool, checked))),
    })),

    listSchedules: calls.ordinary(async (request, _stopped, access) => {
      const pageSize = checkPageSize(request.pageSize, PAGE_SIZE, PAGE_SIZE_MAX);
      const { schedules, more } = await listSchedules(pool, readPageToken(request.pageToken, [], CURSOR.name) ?? '', pageSize);
      const shown = schedules.filter((row) => isTheirs(access, 'read', row));
      return { schedules: shown.map(message), nextPageToken: more ? makePageToken(schedules.at(-1)!.name, []) : '' };
    }),

    deleteSchedule: calls.ordinary(async ({ name }, _stopped, access) => {
      await found(name, access, 'admin', async (checked) => (await deleteSchedule(pool, checked)) || undefined);
      return {};
    }),

    pauseSchedule: calls.ordinary(async ({ name }, _stopped, access) => changed(await found(name, access, 'operate', (checked) => pauseSchedule(pool, checked)))),

    resumeSchedule: calls.ordinary(async ({ name }, _stopped, access) => changed(await found(name, access, 'operate', (checked) => resumeSchedule(pool, checked, nextTickMs)))),

    triggerSchedule: calls.ordinary(async ({ name, jobId }, _stopped, access, client) => {
      const id = checkNewJobId(jobId, engine.nowMs(), 'job_id');
      const schedule = await found(name, access, 'operate', (checked) => getSchedule(pool, checked));
      const { standIns } = await engine.submit([triggeredJob(schedule.name, schedule.spec, id, rules())], client);
      return { jobId: standIns?.get(id) ?? id };
    }),
  };
}

/** Where its jobs go. */
function queueOf({ spec }: ScheduleRow): string {
  return JobSpec.decode(spec).queue;
}

function isTheirs(access: Access, capability: Capability, row: ScheduleRow | undefined): boolean {
  return row !== undefined && (access.mayInEveryQueue(capability) || access.may(capability, queueOf(row)));
}

function message(row: ScheduleRow): Schedule {
  return {
    name: row.name,
    cron: row.cron,
    timeZone: row.timeZone,
    job: JobSpec.decode(row.spec),
    missedTicks: row.missedTicks as MissedTicks,
    overlap: row.overlap as Overlap,
    paused: row.paused,
    nextTime: time(row.nextAtMs),
    lastTime: time(row.lastAtMs),
    lastJobId: row.lastJobId ?? '',
    ticksSkipped: row.ticksSkipped,
  };
}

function time(ms: number | null): Date | undefined {
  return ms === null ? undefined : new Date(ms);
}
