import { createWriteStream } from 'node:fs';
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import type { Rows } from '../checker/rows.ts';
import { monotonicMs } from '../history/history.ts';
import type { LabDatabase } from './database.ts';

/** Milliseconds of a time, to be brought from the wall's clock to the monotonic one ($1: how far the wall is ahead). */
const ms = (time: string): string => `(date_part('epoch', ${time}) * 1000 - $1::float8)`;
const committed = (table: string): string => ms(`pg_xact_commit_timestamp(${table}.xmin)`);

/** Empty once everything is at its end. */
const LEFT_BEHIND = ['ready', 'scheduled', 'blocked', 'lease', 'gate_holder', 'dependency', 'batch_delta'] as const;

/** By the file that they go to, with the names of checker/rows.ts. */
const STATEMENTS: Record<keyof Rows, string> = {
  job: `
    select j.id, q.name as queue, j.type, j.options ->> 'serialKey' as "serialKey", j.options ->> 'limitKey' as "limitKey",
           coalesce(j.max_attempts, q.max_attempts) as "maxAttempts", ${ms('j.run_at')} as "runAt",
           coalesce(a.ids, '{}') as "afterJobIds", coalesce(j.options ->> 'afterPolicy' = 'run_anyway', false) as "runAnyway",
           j.options ->> 'batchId' as "batchId",
           j.type = 'parent' or coalesce((p.task ->> 'child')::boolean, false) as "wantsChild", p.task ->> 'parent' as "parentId", p.task ->> 'lease' as "parentLeaseId"
      from skiplease.job j
      join skiplease.queue q on q.id = j.queue_id
     cross join lateral (select case when j.content_type = 'application/json' then convert_from(j.payload, 'UTF8')::jsonb end as task) p
     cross join lateral (select array_agg(e.id) as ids from jsonb_array_elements_text(j.options -> 'after') as e (id)) a`,
  outcome: `
    select o.job_id as id, o.state, o.lease_id as "leaseId", o.attempt, ${ms('o.finished_at')} as "finishedAt", ${committed('o')} as "committedAt",
           case when o.state = 4 then convert_from(o.result, 'UTF8')::jsonb ->> 'lease' end as "resultLeaseId", o.reason[1] as reason
      from skiplease.outcome o`,
  attempt: `
    select a.job_id as id, a.number, a.lease_id as "leaseId", a.state, ${ms('a.ended_at')} as "endedAt", ${committed('a')} as "committedAt",
           a.error_code as code from skiplease.attempt a`,
  granted: `
    select lease_id as "leaseId", lease_id || '.' || lpad(to_hex(secret), 16, '0') as token, session_id as "sessionId",
           job_ids as "jobIds", attempts, ${ms('at')} as at from fault.granted`,
  settled: `select lease_id as "leaseId", settled, ${ms('at')} as at from fault.settled`,
  moved: `select lease_id as "leaseId", session_id as "sessionId", ${ms('at')} as at from fault.moved`,
  dropped: `select lease_id as "leaseId", ${ms('at')} as at from fault.dropped`,
  ledger: `select job_id as id, lease_id as "leaseId" from fault.ledger`,
  orders: `select job_id as id from fault.orders`,
  batch: `
    select b.id, b.finished_at is not null as finished, b.total::int, b.succeeded::int, b.failed::int, b.cancelled::int, f.job_id as "followUpId"
      from skiplease.batch b left join skiplease.batch_follow_up f on f.batch_id = b.id`,
  left: LEFT_BEHIND.map((table) => `select '${table}' as "table", count(*)::int as count from skiplease.${table}`).join(' union all '),
};

/** Writes everything that the checker wants of the database to files of JSON lines in `folder`. */
export async function writeRows(database: LabDatabase, folder: string): Promise<void> {
  await mkdir(folder, { recursive: true });
  const wallAheadMs = Date.now() - monotonicMs();
  for (const [name, statement] of Object.entries(STATEMENTS)) {
    const rows = await database.query(statement, statement.includes('$1') ? [wallAheadMs] : []);
    await pipeline(Readable.from(lines(rows)), createWriteStream(join(folder, `${name}.jsonl`)));
  }
}

/** How many jobs are not final, batches not finished, and rows left where there should be none by then. */
export async function countUnfinished(database: LabDatabase): Promise<number> {
  const [row] = await database.query<{ count: number }>(`
    select ((select count(*) from skiplease.job j where not exists (select from skiplease.outcome o where o.job_id = j.id))
          + (select count(*) from skiplease.batch where finished_at is null)
          + ${LEFT_BEHIND.map((table) => `(select count(*) from skiplease.${table})`).join(' + ')})::int as count`);
  return row!.count;
}

function* lines(rows: object[]): Generator<string> {
  for (const row of rows) yield `${JSON.stringify(row)}\n`;
}
