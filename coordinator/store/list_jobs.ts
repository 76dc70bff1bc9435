import { z } from 'zod';
import { JobState } from '../types.ts';
import { mustBeSomewhere } from './get_jobs.ts';
import { failedCandidates, inBatch, jobMatches, lastErrorMatches } from './job_filter.ts';
import type { JobFilter } from './job_filter.ts';
import { JOB_COLUMNS, JOB_JOINS, jobRow, PLACE } from './job_place.ts';
import type { JobRow } from './job_place.ts';
import { sql } from './pool.ts';
import type { Queryable } from './pool.ts';

/** Ids that one page looks at, at most, when a filter leaves most of them out: the page is short then, and says that more follow. */
const SCAN_MAX = 5_000;
/** Up to this many ready jobs are sorted by id; in a longer line (it is in claim order) newest jobs are looked up one by one. */
const READY_SORTED_MAX = 50_000;
/** Places looked up for one page in such a longer line. */
const READY_PROBED_MAX = 2_000;

export interface ListFilter extends JobFilter {
  /** A number of JobState. */
  state: number | undefined;
}

export interface JobPage {
  /** Newest first. */
  jobs: JobRow[];
  /** Go on below this id; undefined: that was all. */
  nextIdBefore: string | undefined;
}

const pageRow = z.object({
  jobs: z.array(jobRow).nullable(),
  matched: z.number(),
  lastMatched: z.string().nullable(),
  scanned: z.number(),
  lastScanned: z.string().nullable(),
});

/**
 * Newest first, read from where the wanted jobs are: failed and cancelled ones from outcome's partial index, those of an error
 * class from the failed attempts, waiting and held ones from their own tables. Each page is one statement that looks at a bounded number of rows.
 */
export async function listJobs(pool: Queryable, filter: ListFilter, pageSize: number): Promise<JobPage> {
  const probing = filter.state === JobState.READY ? filter.batchId !== undefined || (await isLongLine(pool, filter.queueId))
    : filter.state === JobState.SUCCEEDED && filter.batchId !== undefined;
  const scanMax = filter.queueId === undefined && filter.type === undefined && filter.state === undefined ? pageSize : SCAN_MAX;
  const matchMax = probing ? READY_PROBED_MAX : pageSize;
  const page = await pool.one(sql.type(pageRow)`
    with scan as materialized (
      select id from (${candidates(filter, probing)}) c (id)
       where id >= ${filter.idFrom}::uuid and id < ${filter.idBefore}::uuid order by id desc limit ${scanMax}::int
    ),
    wanted as materialized (
      select s.id from scan s cross join lateral (select queue_id, type, options from skiplease.job where id = s.id offset 0) j
       where ${jobMatches(filter)} and ${lastErrorMatches(filter)}
       order by s.id desc limit ${matchMax}::int
    ),
    ${PLACE}
    select (select json_agg(row) from (
              select ${JOB_COLUMNS} from place p ${JOB_JOINS}
               where ${filter.state ?? null}::int is null or p.state = ${filter.state ?? null}::int
               order by p.id desc limit ${pageSize}::int) row) as jobs,
           (select count(*) from wanted)::int as matched, (select id from wanted order by id limit 1) as "lastMatched",
           (select count(*) from scan)::int as scanned, (select id from scan order by id limit 1) as "lastScanned"`);
  const jobs = page.jobs ?? [];
  jobs.forEach(mustBeSomewhere);
  if (jobs.length === pageSize) {
    return { jobs, nextIdBefore: jobs.at(-1)!.id };
  }
  if (page.matched === matchMax) {
    return { jobs, nextIdBefore: page.lastMatched! };
  }
  return { jobs, nextIdBefore: page.scanned === scanMax ? page.lastScanned! : undefined };
}

/** Where ids come from. Each is walked down from the newest id by an index, or is small enough to be sorted. */
function candidates(filter: ListFilter, probing: boolean) {
  const { state, queueId, batchId } = filter;
  const jobs = sql.fragment`select id from skiplease.job where ${batchId === undefined ? sql.fragment`true` : inBatch(batchId)}`;
  const ofQueue = queueId === undefined ? sql.fragment`true` : sql.fragment`queue_id = ${queueId}::int`;
  switch (state) {
    case JobState.SCHEDULED:
      return sql.fragment`select job_id from skiplease.scheduled where ${ofQueue}`;
    case JobState.BLOCKED:
      return sql.fragment`select job_id from skiplease.blocked where ${ofQueue}`;
    case JobState.READY:
      return probing
        ? jobs
        : sql.fragment`select job_id from (select job_id from skiplease.ready where ${ofQueue} limit ${READY_SORTED_MAX}::int) r`;
    case JobState.LEASED:
      return sql.fragment`select u.job_id from skiplease.lease l cross join lateral unnest(l.job_ids) with ordinality as u (job_id, place)
        where ${ofQueue} and get_bit(l.settled, u.place::int - 1) = 0`;
    case JobState.SUCCEEDED:
      return probing ? jobs : sql.fragment`select job_id from skiplease.outcome where state = 4`;
    case JobState.FAILED:
      return failedCandidates(filter);
    case JobState.CANCELLED:
      return sql.fragment`select job_id from skiplease.outcome where state = 6`;
    case undefined:
      return jobs;
    default:
      return sql.fragment`select null::uuid where false`;
  }
}

/** More wait than are worth sorting. */
function isLongLine(pool: Queryable, queueId: number | undefined): Promise<boolean> {
  const ofQueue = queueId === undefined ? sql.fragment`true` : sql.fragment`queue_id = ${queueId}::int`;
  return pool.oneFirst(sql.type(z.object({ long: z.boolean() }))`
    select count(*) = ${READY_SORTED_MAX + 1}::int as long
      from (select 1 from skiplease.ready where ${ofQueue} limit ${READY_SORTED_MAX + 1}::int) r`);
}
