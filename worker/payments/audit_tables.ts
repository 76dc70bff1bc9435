/**
 * Lays side by side, in two temporary tables, what the database says of a run and what the file says it must be. This
 * reads Skiplease's own tables directly: a check that asked the coordinator would be asking the suspect.
 */
import type pg from 'pg';
import type { ExpectedRow } from './expected.ts';
import { jobIdRange } from './job_id.ts';

/** A run to be checked: which, and what was to be submitted in it. */
export interface AuditedRun {
  run: string;
  /** The file's readable rows, in order. */
  rows: readonly ExpectedRow[];
  /** How many jobs: the rows are repeated, copy after copy, up to this number. */
  jobCount: number;
}

const expectedJobs = `
  create temporary table expected_job as
  select c.copy, r.*
  from unnest($1::integer[], $2::integer[], $3::text[], $4::text[], $5::bigint[], $6::text[])
    as r (ordinal, line, reference, currency, amount_minor, fate)
  cross join generate_series(1, $7::integer) as c (copy)
  where (c.copy - 1) * $8::bigint + r.ordinal <= $9::bigint`;

// What became of a job, in one word. A FAILED job with neither of the two codes gave up: its attempts were used up.
const runJobs = `
  create temporary table run_job as
  select j.id as job_id, (p.payload ->> 'copy')::integer as copy, (p.payload ->> 'line')::integer as line,
    p.payload ->> 'reference' as reference, p.payload ->> 'currency' as currency,
    o.attempt, a.error_code,
    case o.state
      when 4 then convert_from(o.result, 'UTF8')::json ->> 'outcome'
      when 5 then case a.error_code when 'CARD_DECLINED' then 'declined' when 'INVALID_IBAN' then 'invalid_iban' else 'gave_up' end
      when 6 then 'cancelled'
    end as outcome
  from skiplease.job j
  cross join lateral (select convert_from(j.payload, 'UTF8')::json as payload offset 0) p
  left join skiplease.outcome o on o.job_id = j.id
  left join skiplease.attempt a on a.job_id = j.id and a.number = o.attempt
  where j.id between $1::uuid and $2::uuid and j.type = 'payment.capture' and p.payload ->> 'run' = $3::text`;

/** Makes the temporary tables `expected_job` and `run_job` in this session, replacing those of an earlier call. */
export async function makeAuditTables(client: pg.ClientBase, audited: AuditedRun): Promise<void> {
  const { run, rows, jobCount } = audited;
  await client.query('drop table if exists pg_temp.expected_job, pg_temp.run_job');
  await client.query(expectedJobs, [
    rows.map((_, index) => index + 1), rows.map(({ line }) => line), rows.map(({ reference }) => reference),
    rows.map(({ currency }) => currency), rows.map(({ amountMinor }) => amountMinor), rows.map(({ fate }) => fate),
    Math.ceil(jobCount / rows.length), rows.length, jobCount,
  ]);
  const { least, most } = jobIdRange(run);
  await client.query(runJobs, [least, most, run]);
  await client.query('create index on run_job (job_id); analyze expected_job; analyze run_job');
}
