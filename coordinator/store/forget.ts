/** Rows that one statement looks at, but for those of the last job among them. */
const ROWS_MAX = 1_000;

/** Deletes what names a job that is no more, from a table with an index that begins with that column. */
function orphans(table: string, column: string): string {
  return `
  with looked as materialized (
    select ctid as tid, ${column} as id from skiplease.${table} where ${column} > $1 and ${column} < $2
     order by ${column} fetch first ${ROWS_MAX} rows with ties
  ),
  gone as (
    delete from skiplease.${table} where ctid = any(array(
      select tid from looked where not exists (select 1 from skiplease.job where job.id = looked.id)))
  )
  select id from looked order by id desc limit 1`;
}

/**
 * What belongs to jobs, or batches of them, and lives in tables that are not cut by their ids: a statement for each, run after
 * partitions were dropped, at rest, off every hot path. Whoever adds such a table adds here the statement that cleans it: it looks at some
 * rows in the order of ids, between $1 (where the last run ended) and $2 (below which only those jobs exist that were carried
 * over), deletes what is of no more use, and returns the last id that it looked at; no row: it has come to the end.
 */
export const FORGET: readonly string[] = [
  orphans('progress', 'job_id'),
  orphans('retried', 'origin_id'),
  // Of jobs that were cancelled while they waited for one that has not ended.
  orphans('dependency', 'job_id'),
  // Batches that were finished before then; what a batch counts does not depend on its jobs' rows. All that it looks at goes.
  `with gone as (
    delete from skiplease.batch where $1::uuid is not null and ctid = any(array(
      select ctid from skiplease.batch where finished_at < skiplease.uuid_time($2) limit ${ROWS_MAX}))
    returning id
  )
  select id from gone limit 1`,
];
