/** Rows that one statement deletes at most. */
export const FORGET_ROWS_MAX = 1_000;

/** Rows of a table that name, in an indexed column, a job that is no more. */
function orphans(table: string, column: string): string {
  return `
  delete from skiplease.${table} where ctid = any(array(
    select t.ctid from skiplease.${table} t
     where t.${column} < $1 and not exists (select 1 from skiplease.job where id = t.${column}) limit ${FORGET_ROWS_MAX}))`;
}

/**
 * What belongs to jobs, or batches of them, and lives in tables that are not cut by their ids. Whoever adds such a table adds here the statement
 * that cleans it: $1 is an id, below which only those jobs exist that were carried over; it deletes at most
 * FORGET_ROWS_MAX rows, and is run again while it deletes as many. Run after partitions were dropped, off every hot path.
 */
export const FORGET: readonly string[] = [
  orphans('progress', 'job_id'),
  orphans('retried', 'origin_id'),
  // Batches that were finished before then; what a batch counts does not depend on its jobs' rows.
  `delete from skiplease.batch where ctid = any(array(
    select ctid from skiplease.batch where finished_at < skiplease.uuid_time($1) limit ${FORGET_ROWS_MAX}))`,
];
