import { TICK_SCHEDULES_MAX } from '../limits.ts';
import type { MissedTicks, Overlap } from '../types.ts';
import { int8Array, textArray, timestampArray, uuidArray } from './binary.ts';
import type { Statement, TransactionRun } from './hot_connection.ts';

/** A schedule with a tick that is due. */
export interface DueSchedule {
  name: string;
  cron: string;
  timeZone: string;
  missedTicks: MissedTicks;
  overlap: Overlap;
  nextAtMs: number;
  /** The job of its last tick. */
  lastJobId: string | null;
  specBytes: number;
}

/** What became of a schedule's ticks. */
export interface Ticked {
  name: string;
  nextAtMs: number | null;
  /** The last tick that submitted a job now, and that job; null: none did. */
  lastAtMs: number | null;
  lastJobId: string | null;
  skipped: number;
}

const LOCK_DUE: Statement = {
  name: 'tick_lock',
  text: `
  with clock as materialized (select skiplease.now() as now),
  due as materialized (
    select * from skiplease.schedule where next_at <= (select now from clock)
     order by next_at limit ${TICK_SCHEDULES_MAX} for update skip locked
  )
  select date_part('epoch', clock.now) * 1000, d.name, d.cron, d.time_zone, d.missed_ticks, d.overlap,
         date_part('epoch', d.next_at) * 1000, d.last_job_id, octet_length(d.spec)
    from clock left join due d on true`,
};

/** Locks schedules that are due and that nobody else ticks at this moment, the longest due first. */
export async function lockDueSchedules(run: TransactionRun): Promise<{ nowMs: number; due: DueSchedule[] }> {
  const rows = await run(LOCK_DUE);
  return {
    nowMs: Math.floor(Number(rows[0]![0])),
    due: rows.filter((row) => row[1] !== null).map((row) => ({
      name: row[1]!,
      cron: row[2]!,
      timeZone: row[3]!,
      missedTicks: Number(row[4]) as MissedTicks,
      overlap: Number(row[5]) as Overlap,
      nextAtMs: Number(row[6]),
      lastJobId: row[7]!,
      specBytes: Number(row[8]),
    })),
  };
}

const OPEN_JOBS: Statement = {
  name: 'tick_look',
  text: `select i.id from unnest($1::uuid[]) i (id)
    cross join lateral (select 1 from skiplease.job where id = i.id offset 0) j
     left join lateral (select 1 as final from skiplease.outcome where job_id = i.id offset 0) o on true
    where o.final is null`,
};

/** Those of the jobs that are not final. */
export async function openJobs(run: TransactionRun, jobIds: string[]): Promise<Set<string>> {
  return jobIds.length === 0 ? new Set() : new Set((await run(OPEN_JOBS, [uuidArray(jobIds)])).map((row) => row[0]!));
}

const READ_SPECS: Statement = { name: 'tick_specs', text: 'select name, spec from skiplease.schedule where name = any($1::text[])' };

/** What these schedules submit, by name. */
export async function readSpecs(run: TransactionRun, names: string[]): Promise<Map<string, Uint8Array>> {
  const rows = names.length === 0 ? [] : await run(READ_SPECS, [textArray(names)]);
  return new Map(rows.map((row) => [row[0]!, Buffer.from(row[1]!.slice('\\x'.length), 'hex')]));
}

const ADVANCE: Statement = {
  name: 'tick_advance',
  text: `update skiplease.schedule s
      set next_at = i.next_at, last_at = coalesce(i.last_at, s.last_at), last_job_id = coalesce(i.last_job_id, s.last_job_id),
          ticks_skipped = s.ticks_skipped + i.skipped
     from unnest($1::text[], $2::timestamptz[], $3::timestamptz[], $4::uuid[], $5::int8[]) as i (name, next_at, last_at, last_job_id, skipped)
    where s.name = i.name`,
};

/** In the transaction that submitted the jobs: what is committed here is never ticked again. */
export async function advanceSchedules(run: TransactionRun, ticked: Ticked[]): Promise<void> {
  await run(ADVANCE, [
    textArray(ticked.map(({ name }) => name)),
    timestampArray(ticked.map(({ nextAtMs }) => nextAtMs)),
    timestampArray(ticked.map(({ lastAtMs }) => lastAtMs)),
    ticked.map(({ lastJobId }) => lastJobId),
    int8Array(ticked.map(({ skipped }) => skipped)),
  ]);
}

const NEXT_TICK: Statement = {
  name: 'tick_next',
  text: `with clock as materialized (select skiplease.now() as now)
    select date_part('epoch', next_at - (select now from clock)) * 1000 from skiplease.schedule
     where next_at > (select now from clock) order by next_at limit 1`,
};

/** Until the next tick of any schedule, those apart that are due already: milliseconds; null: there is none. */
export async function nextTickInMs(run: TransactionRun): Promise<number | null> {
  const [row] = await run(NEXT_TICK);
  return row === undefined ? null : Number(row[0]);
}
