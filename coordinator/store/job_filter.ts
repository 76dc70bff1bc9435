import { sql } from './pool.ts';

/** Which jobs: each field that is set must hold. */
export interface JobFilter {
  queueId: number | undefined;
  type: string | undefined;
  batchId: string | undefined;
  /** The class of the last failed attempt's error. */
  errorCode: string | undefined;
  /** Only ids from here on (inclusive). */
  idFrom: string;
  /** Only ids below this one. */
  idBefore: string;
}

/** What a filter says of the job itself, `j`. Its ids and its error class are for whoever looks for candidates. */
export function jobMatches({ queueId, type, batchId }: JobFilter) {
  return sql.fragment`(${queueId ?? null}::int is null or j.queue_id = ${queueId ?? null}::int)
    and (${type ?? null}::text is null or j.type = ${type ?? null}::text)
    and (${batchId ?? null}::text is null or j.options ->> 'batchId' = ${batchId ?? null}::text)`;
}

/** Rows of `job` that belong to this batch, by the index for them. */
export function inBatch(batchId: string) {
  return sql.fragment`options ? 'batchId' and (options ->> 'batchId')::uuid = ${batchId}::uuid`;
}

/** Ids that may be FAILED with this error class: each has had an attempt that ended so, not always its last one. */
export function failedCandidates({ errorCode }: JobFilter) {
  return errorCode === undefined
    ? sql.fragment`select job_id from skiplease.outcome where state = 5`
    : sql.fragment`select distinct job_id from skiplease.attempt where error_code = ${errorCode}`;
}

/** The last attempt of the job with the id `s.id` ended with the filter's error class. */
export function lastErrorMatches({ errorCode }: JobFilter) {
  return errorCode === undefined
    ? sql.fragment`true`
    : sql.fragment`(select error_code from skiplease.attempt where job_id = s.id order by number desc limit 1) = ${errorCode}`;
}
