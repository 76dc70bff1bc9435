import { z } from 'zod';
import type { MissedTicks, Overlap } from '../types.ts';
import { nothing, sql } from './pool.ts';
import type { Pool, Queryable } from './pool.ts';

/** Specs of one page of a list, together, unless the first alone is longer. */
const PAGE_BYTES_MAX = 1024 * 1024;

/** What is put. */
export interface NewSchedule {
  name: string;
  cron: string;
  timeZone: string;
  /** A skiplease.v1.JobSpec. */
  spec: Uint8Array;
  missedTicks: MissedTicks;
  overlap: Overlap;
  paused: boolean;
}

/** A schedule as it stands. Times in milliseconds of the database's clock. */
const scheduleRow = z.object({
  name: z.string(),
  cron: z.string(),
  timeZone: z.string(),
  spec: z.instanceof(Uint8Array),
  missedTicks: z.number(),
  overlap: z.number(),
  paused: z.boolean(),
  nextAtMs: z.number().nullable(),
  lastAtMs: z.number().nullable(),
  lastJobId: z.string().nullable(),
  ticksSkipped: z.number(),
});
export type ScheduleRow = z.infer<typeof scheduleRow>;

/** In a list; more: others come after it. */
const listedRow = scheduleRow.extend({ more: z.boolean() });

/** When a schedule ticks next, counted from a moment; null: never. */
export type NextTick = (schedule: { cron: string; timeZone: string }, afterMs: number) => number | null;

const COLUMNS = sql.fragment`name, cron, time_zone as "timeZone", spec, missed_ticks as "missedTicks", overlap, paused,
  date_part('epoch', next_at) * 1000 as "nextAtMs", date_part('epoch', last_at) * 1000 as "lastAtMs", last_job_id as "lastJobId",
  ticks_skipped::float8 as "ticksSkipped"`;

const moment = z.object({ nowMs: z.number() });
const nowMs = async (on: Queryable): Promise<number> =>
  (await on.one(sql.type(moment)`select date_part('epoch', skiplease.now()) * 1000 as "nowMs"`)).nowMs;

/** Makes it or takes the place of the one of that name; ticks count from now on. */
export async function putSchedule(pool: Pool, schedule: NewSchedule, nextTick: NextTick): Promise<ScheduleRow> {
  const nextAtMs = schedule.paused ? null : nextTick(schedule, await nowMs(pool));
  return pool.one(sql.type(scheduleRow)`
    insert into skiplease.schedule (name, cron, time_zone, spec, missed_ticks, overlap, paused, next_at)
    values (${schedule.name}, ${schedule.cron}, ${schedule.timeZone}, ${sql.binary(Buffer.from(schedule.spec))}, ${schedule.missedTicks},
            ${schedule.overlap}, ${schedule.paused}, to_timestamp(${nextAtMs}::float8 / 1000))
    on conflict (name) do update set
        cron = excluded.cron, time_zone = excluded.time_zone, spec = excluded.spec, missed_ticks = excluded.missed_ticks,
        overlap = excluded.overlap, paused = excluded.paused, next_at = excluded.next_at
    returning ${COLUMNS}`);
}

/** undefined: there is no such schedule. */
export async function getSchedule(pool: Queryable, name: string): Promise<ScheduleRow | undefined> {
  return (await pool.maybeOne(sql.type(scheduleRow)`select ${COLUMNS} from skiplease.schedule where name = ${name}`)) ?? undefined;
}

/** By name, those that come after `nameAfter`; fewer than `limit` when they are long. */
export async function listSchedules(pool: Queryable, nameAfter: string, limit: number): Promise<{ schedules: ScheduleRow[]; more: boolean }> {
  const schedules = await pool.any(sql.type(listedRow)`
    with page as (
      select * from skiplease.schedule where name > ${nameAfter} order by name limit ${limit + 1}::int
    ),
    weighed as (
      select name, row_number() over (order by name) as place, count(*) over () as found,
             sum(octet_length(spec)) over (order by name) - octet_length(spec) as bytes_before
        from page
    )
    select ${COLUMNS}, place < found as more
      from page join weighed using (name) where place <= ${limit}::int and bytes_before < ${PAGE_BYTES_MAX}::int order by name`);
  return { schedules: [...schedules], more: schedules.at(-1)?.more ?? false };
}

/** False: there is no such schedule. */
export async function deleteSchedule(pool: Queryable, name: string): Promise<boolean> {
  return (await pool.query(sql.type(nothing)`delete from skiplease.schedule where name = ${name}`)).rowCount > 0;
}

/** No tick is run once this is committed. undefined: there is no such schedule. */
export async function pauseSchedule(pool: Queryable, name: string): Promise<ScheduleRow | undefined> {
  return (await pool.maybeOne(sql.type(scheduleRow)`
    update skiplease.schedule set paused = true, next_at = null where name = ${name} returning ${COLUMNS}`)) ?? undefined;
}

/** Ticks count from now on; one that is not paused stays as it is. undefined: there is no such schedule. */
export async function resumeSchedule(pool: Pool, name: string, nextTick: NextTick): Promise<ScheduleRow | undefined> {
  return pool.transaction(async (transaction) => {
    const row = await transaction.maybeOne(sql.type(scheduleRow)`
      select ${COLUMNS} from skiplease.schedule where name = ${name} for update`);
    if (row === null || !row.paused) {
      return row ?? undefined;
    }
    const nextAtMs = nextTick(row, await nowMs(transaction));
    return transaction.one(sql.type(scheduleRow)`
      update skiplease.schedule set paused = false, next_at = to_timestamp(${nextAtMs}::float8 / 1000)
       where name = ${name} returning ${COLUMNS}`);
  });
}
