import type { NewJob } from '../types.ts';
import { POSITIONS_OF_A_DRAW } from '../limits.ts';
import { byteaArray, int2Array, int4Array, int8Array, textArray, timestampArray, uuidArray } from './binary.ts';
import type { HotConnection, Row, Statement, TransactionRun } from './hot_connection.ts';
import type { AfterEnd } from './settle_carefully.ts';

/** A job with its queue's number. */
export interface SubmitRow {
  job: NewJob;
  queueId: number;
}

export interface SubmitCommit {
  /** Lowest position that went into ready; null when none did. */
  positionMin: bigint | null;
  /** Ids that were there before, with the same queue and type. */
  existingIds: string[];
}

/** SQLSTATE of skiplease.refuse(). */
export const REFUSED = 'SK001';

/** Columns of the jobs: parameters $1 to $11 of the statements that insert them. */
const JOB_COLUMNS = `unnest($1::uuid[], $2::int4[], $3::text[], $4::bytea[], $5::text[], $6::int2[], $7::timestamptz[],
    $8::int2[], $9::int8[], $10::text[], $11::uuid[]) with ordinality
    as t (id, queue_id, type, payload, content_type, priority, run_at, max_attempts, timeout_ms, headers, origin_id, ordinal)`;

/** The jobs, each with its position: the statement draws one block of them, and takes them in the order of the rows. */
export const INPUT = `drawn as materialized (select nextval('skiplease.position') as draw),
  input as not materialized (
    select t.*, case when t.run_at is null then (select draw from drawn) * ${POSITIONS_OF_A_DRAW} + t.ordinal end as "position"
      from ${JOB_COLUMNS}
  )`;

export function jobParameters(rows: SubmitRow[]): unknown[] {
  return [
    uuidArray(rows.map(({ job }) => job.id)),
    int4Array(rows.map(({ queueId }) => queueId)),
    textArray(rows.map(({ job }) => job.type)),
    byteaArray(rows.map(({ job }) => job.payload)),
    textArray(ifAny(rows.map(({ job }) => job.contentType))),
    int2Array(rows.map(({ job }) => job.priority)),
    timestampArray(ifAny(rows.map(({ job }) => job.runAtMs))),
    int2Array(ifAny(rows.map(({ job }) => job.maxAttempts))),
    int8Array(ifAny(rows.map(({ job }) => job.timeoutMs))),
    textArray(ifAny(rows.map(({ job }) => job.headers))),
    ifAny(rows.map(({ job }) => job.originId)),
  ];
}

/** A column that no row uses goes as an empty array: unnest() fills up with nulls. */
function ifAny<Value>(column: (Value | null)[]): (Value | null)[] {
  return column.some((value) => value !== null) ? column : [];
}

/**
 * `ready` rows are made only from what the job insert returned: a repeated id never gets a second place. Jobs go in by id
 * (their positions keep the order of the request), so that two coordinators with the same jobs do not deadlock.
 */
const inserts = (onConflict: string): string => `
  with ${INPUT},
  inserted as (
    insert into skiplease.job (id, "position", queue_id, max_attempts, priority, timeout_ms, run_at, origin_id, type,
                               content_type, headers, payload)
    select id, "position", queue_id, max_attempts, priority, timeout_ms, run_at, origin_id, type, content_type,
           headers::jsonb, payload from input order by id
    ${onConflict}
    returning id, "position", queue_id, priority, run_at, skiplease.job_bytes(payload, headers) as bytes
  ),
  waiting as (
    insert into skiplease.ready ("position", job_id, since, queue_id, bytes, priority, attempt, again)
    select "position", id, c.now, queue_id, bytes, priority, 1, false
      from inserted, (select skiplease.now() as now) c where "position" is not null
  ),
  timed as (
    insert into skiplease.scheduled (job_id, run_at, queue_id, bytes, priority, attempt)
    select id, run_at, queue_id, bytes, priority, 1 from inserted where "position" is null
  )`;
const INSERTS = inserts('on conflict (id) do nothing');

/**
 * The common case: every id is new. One that is not ends the statement. (ON CONFLICT would insert each row speculatively:
 * 3 µs more for each in PostgreSQL, and a tenth more WAL.)
 */
const SUBMIT: Statement = {
  name: 'submit',
  text: `${inserts('')} select draw from drawn`,
};

/** The jobs of the input that were there before, each with what it is. Sees only what was committed before the statement. */
const CONFLICTS = `
  select i.id, j.id is not null and j.queue_id = i.queue_id and j.type = i.type
    from input i left join lateral (select id, queue_id, type from skiplease.job where id = i.id offset 0) j on true
   where i.id <> all(coalesce((select array_agg(id) from inserted), '{}'))`;

/**
 * One statement, one commit for many callers. Repeats of what was committed before are answered in passing; whatever else
 * conflicts (another queue or type; a repeat that runs at this very moment) ends the statement with REFUSED, and each
 * caller is then taken by itself in submitCarefully.
 */
const SUBMIT_REPEATED: Statement = {
  name: 'submit_repeated',
  text: `${INSERTS},
  repeated as materialized (
    select c.* from (${CONFLICTS}) as c (id, same) where (select count(*) from inserted) < cardinality($1::uuid[])
  )
  select (select min("position") from inserted),
         (select array_to_string(array_agg(id), ',') from repeated),
         case when exists (select 1 from repeated where not same)
                or (select count(*) from inserted) + (select count(*) from repeated) <> cardinality($1::uuid[])
              then skiplease.refuse('conflicting job id') end`,
};

const INSERT_ONE_CALLER: Statement = {
  name: 'submit_one_caller',
  text: `${INSERTS} select (select min("position") from inserted), (select array_to_string(array_agg(id), ',') from inserted)`,
};

const LOOK_AT_EXISTING: Statement = {
  name: 'submit_look',
  text: `select i.id, j.queue_id, j.type from unnest($1::uuid[]) i (id)
    cross join lateral (select queue_id, type from skiplease.job where id = i.id offset 0) j`,
};

/** Jobs whose ids are all new: the draw of their positions. Else fails with unique_violation, and nothing is created. */
export async function submit(connection: HotConnection, rows: SubmitRow[]): Promise<number> {
  const [row] = await connection.run(SUBMIT, jobParameters(rows));
  return Number(row![0]);
}

/** The position in ready of the first of these rows that went there, by its statement's draw; null: none did. */
export function firstPosition(draw: number, rows: SubmitRow[]): bigint | null {
  const first = rows.findIndex(({ job }) => job.runAtMs === null);
  return first < 0 ? null : BigInt(draw) * BigInt(POSITIONS_OF_A_DRAW) + BigInt(first + 1);
}

/** Jobs of which some may exist: those are answered, or end it all with REFUSED. */
export async function submitRepeated(connection: HotConnection, rows: SubmitRow[]): Promise<SubmitCommit> {
  const [row] = await connection.run(SUBMIT_REPEATED, jobParameters(rows));
  return { positionMin: row![0] === null ? null : BigInt(row![0]!), existingIds: ids(row![1]) };
}

/** What became of one caller's jobs, inside a transaction of several callers. */
export type CallerSubmit = SubmitCommit & {
  /** Ids that belong to a job of another queue or type: nothing of this caller may stay. */
  takenIds: string[];
  /** What came of it for others; undefined: nothing. */
  effects?: SubmitEffects | undefined;
};

/** What jobs with options did as they came in. */
export interface SubmitEffects {
  /** Jobs that did not come in, by id, with the one that has their unique key. */
  standIns: ReadonlyMap<string, string>;
  /** Jobs that came in, by id, with the waiting one that was cancelled for them. */
  replaced: ReadonlyMap<string, string>;
  /** What the end of those set going. */
  wake: AfterEnd;
}

/** One caller's jobs within a transaction: insert, then look again at what conflicted, with a new snapshot. */
export async function submitOneCaller(run: TransactionRun, rows: SubmitRow[]): Promise<CallerSubmit> {
  const [row] = await run(INSERT_ONE_CALLER, jobParameters(rows));
  const positionMin = row![0] === null ? null : BigInt(row![0]!);
  return { positionMin, ...(await repeatsOf(run, rows, new Set(ids(row![1])))) };
}

/** What became of those of the rows that were not inserted: looked up with a new snapshot. */
export async function repeatsOf(run: TransactionRun, rows: SubmitRow[], inserted: Set<string>): Promise<Omit<CallerSubmit, 'positionMin'>> {
  // A caller that names an id twice gets one job: the second naming is a repeat of the first.
  const repeated = rows.filter(({ job }) => !inserted.delete(job.id));
  if (repeated.length === 0) {
    return { existingIds: [], takenIds: [] };
  }
  const existing = new Map((await run(LOOK_AT_EXISTING, [uuidArray(repeated.map(({ job }) => job.id))])).map((found: Row) => [found[0]!, found]));
  const takenIds = repeated
    .filter(({ job, queueId }) => {
      const found = existing.get(job.id);
      return found === undefined || Number(found[1]) !== queueId || found[2] !== job.type;
    })
    .map(({ job }) => job.id);
  return { existingIds: repeated.map(({ job }) => job.id), takenIds };
}

function ids(list: string | null | undefined): string[] {
  return list ? list.split(',') : [];
}
