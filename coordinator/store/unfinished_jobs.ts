import { z } from 'zod';
import { inBatch, jobMatches } from './job_filter.ts';
import type { JobFilter } from './job_filter.ts';
import { POSITIONS_OF_A_DRAW } from '../limits.ts';
import { sql } from './pool.ts';
import type { Pool } from './pool.ts';

/** Rows that one statement looks at, at most, in a line and among the ids of other places. */
const LINE_MAX = 1_000;
const IDS_MAX = 5_000;

const levelRow = z.object({ queueId: z.number(), priority: z.number() });
const lineRow = z.object({ ids: z.array(z.string()), scanned: z.number(), lastPosition: z.string().nullable() });
const idsRow = z.object({ ids: z.array(z.string()), scanned: z.number(), lastId: z.string().nullable() });

/**
 * The jobs that match and were there, not final, when this began, as they are found: at most 5,000 at a time, perhaps none.
 *
 * Those of a batch: by its index. Else first the lines of ready, in claim order, as far as they reached at the beginning; then,
 * by id and in one snapshot each, all places to which a job can move from there. It stands in exactly one of them, so however
 * fast it moves it is not missed. `running`: those that workers hold, too.
 */
export async function* unfinishedJobs(pool: Pool, filter: JobFilter, running: boolean): AsyncGenerator<string[], void, void> {
  if (filter.batchId !== undefined) {
    yield* ofBatch(pool, filter, filter.batchId);
    return;
  }
  const end = await pool.oneFirst(sql.type(z.object({ position: z.string() }))`
    select ((last_value + 1) * ${POSITIONS_OF_A_DRAW}::int8)::text as position from skiplease.position`);
  for (let level = await nextLevel(pool, filter, { queueId: 0, priority: -1 }); level !== undefined; level = await nextLevel(pool, filter, level)) {
    yield* inLine(pool, filter, level, end);
  }
  yield* elsewhere(pool, filter, running);
}

/** Whoever works on them included. */
async function* ofBatch(pool: Pool, filter: JobFilter, batchId: string): AsyncGenerator<string[], void, void> {
  let after = filter.idFrom;
  for (;;) {
    const { ids, scanned, lastId } = await pool.one(sql.type(idsRow)`
      with scan as materialized (
        select id, queue_id, type, options from skiplease.job
         where ${inBatch(batchId)} and id > ${after}::uuid and id < ${filter.idBefore}::uuid order by id limit ${IDS_MAX}::int
      )
      select array(select j.id from scan j where ${jobMatches(filter)}
                     and not exists (select from skiplease.outcome where job_id = j.id offset 0) order by j.id) as ids,
             (select count(*) from scan)::int as scanned, (select id from scan order by id desc limit 1) as "lastId"`);
    yield ids;
    if (scanned < IDS_MAX) {
      return;
    }
    after = lastId!;
  }
}

type Level = z.infer<typeof levelRow>;

/** The first level after this one where something waits. */
async function nextLevel(pool: Pool, { queueId }: JobFilter, after: Level): Promise<Level | undefined> {
  const ofQueue = queueId === undefined ? sql.fragment`true` : sql.fragment`queue_id = ${queueId}::int`;
  return (await pool.maybeOne(sql.type(levelRow)`
    select queue_id as "queueId", priority from skiplease.ready
     where (queue_id, priority) > (${after.queueId}::int, ${after.priority}::int2) and ${ofQueue}
     order by queue_id, priority limit 1`)) ?? undefined;
}

/** Jobs that wait where their submit put them. */
async function* inLine(pool: Pool, filter: JobFilter, { queueId, priority }: Level, end: string): AsyncGenerator<string[], void, void> {
  let after = '-9223372036854775808';
  for (;;) {
    const { ids, scanned, lastPosition } = await pool.one(sql.type(lineRow)`
      with scan as materialized (
        select "position", job_id as id, again from skiplease.ready
         where queue_id = ${queueId}::int and priority = ${priority}::int2 and "position" > ${after}::int8 and "position" < ${end}::int8
         order by "position" limit ${LINE_MAX}::int
      )
      select array(select s.id from scan s cross join lateral (select queue_id, type, options from skiplease.job where id = s.id offset 0) j
                    where not s.again and s.id >= ${filter.idFrom}::uuid and s.id < ${filter.idBefore}::uuid and ${jobMatches(filter)}
                    order by s."position") as ids,
             (select count(*) from scan)::int as scanned, (select max("position")::text from scan) as "lastPosition"`);
    yield ids;
    if (scanned < LINE_MAX) {
      return;
    }
    after = lastPosition!;
  }
}

/** Jobs that have been moved: where they go back and forth, their ids do not change. */
async function* elsewhere(pool: Pool, filter: JobFilter, running: boolean): AsyncGenerator<string[], void, void> {
  let after = filter.idFrom;
  for (;;) {
    const within = sql.fragment`job_id > ${after}::uuid and job_id < ${filter.idBefore}::uuid order by job_id limit ${IDS_MAX}::int`;
    const held = sql.fragment`
      union all (select job_id from skiplease.lease l cross join lateral unnest(l.job_ids) with ordinality as u (job_id, place)
                  where ${running} and get_bit(l.settled, u.place::int - 1) = 0 and ${within})`;
    const { ids, scanned, lastId } = await pool.one(sql.type(idsRow)`
      with scan as materialized (
        select job_id as id from (
          (select job_id from skiplease.scheduled where ${within})
          union all (select job_id from skiplease.blocked where ${within})
          union all (select job_id from skiplease.ready where again and ${within})
          ${held}
        ) place order by job_id limit ${IDS_MAX}::int
      )
      select array(select s.id from scan s cross join lateral (select queue_id, type, options from skiplease.job where id = s.id offset 0) j
                    where ${jobMatches(filter)} order by s.id) as ids,
             (select count(*) from scan)::int as scanned, (select id from scan order by id desc limit 1) as "lastId"`);
    yield ids;
    if (scanned < IDS_MAX) {
      return;
    }
    after = lastId!;
  }
}
