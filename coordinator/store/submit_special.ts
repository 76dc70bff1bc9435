import { byteaArray, int2Array, int4Array, int8Array, textArray, timestampArray, uuidArray } from './binary.ts';
import type { Statement, TransactionRun } from './hot_connection.ts';
import { repeatsOf, type CallerSubmit, type SubmitRow } from './submit.ts';

/** Jobs with options go in one by one, so to speak: inserted first, and then each to where its options say that it waits. */
const INSERT: Statement = {
  name: 'submit_special',
  text: `
  with input as (
    select * from unnest($1::uuid[], $2::int4[], $3::text[], $4::bytea[], $5::text[], $6::int2[], $7::timestamptz[], $8::int2[], $9::int8[],
                         $10::text[], $11::uuid[], $12::text[]) with ordinality
      as t (id, queue_id, type, payload, content_type, priority, run_at, max_attempts, timeout_ms, headers, origin_id, options, ordinal)
  ),
  inserted as (
    insert into skiplease.job (id, queue_id, max_attempts, priority, timeout_ms, run_at, origin_id, type, content_type, headers, options, payload)
    select id, queue_id, max_attempts, priority, timeout_ms, run_at, origin_id, type, content_type, headers::jsonb, options::jsonb, payload
      from input order by id
    on conflict (id) do nothing
    returning id
  )
  select i.id from input i join inserted using (id) order by i.ordinal`,
};

const ENTER: Statement = {
  name: 'enter',
  text: `select min("position") from skiplease.enter($1::uuid[], false)`,
};

/** One caller's jobs, some of them with options, within a transaction. */
export async function submitSpecialCaller(run: TransactionRun, rows: SubmitRow[]): Promise<CallerSubmit> {
  const insertedIds = (await run(INSERT, parameters(rows))).map(([id]) => id!);
  const repeats = await repeatsOf(run, rows, new Set(insertedIds));
  const [row] = await run(ENTER, [uuidArray(insertedIds)]);
  return { positionMin: row![0] === null ? null : BigInt(row![0]!), ...repeats };
}

function parameters(rows: SubmitRow[]): unknown[] {
  return [
    uuidArray(rows.map(({ job }) => job.id)),
    int4Array(rows.map(({ queueId }) => queueId)),
    textArray(rows.map(({ job }) => job.type)),
    byteaArray(rows.map(({ job }) => job.payload)),
    textArray(rows.map(({ job }) => job.contentType)),
    int2Array(rows.map(({ job }) => job.priority)),
    timestampArray(rows.map(({ job }) => job.runAtMs)),
    int2Array(rows.map(({ job }) => job.maxAttempts)),
    int8Array(rows.map(({ job }) => job.timeoutMs)),
    textArray(rows.map(({ job }) => job.headers)),
    rows.map(({ job }) => job.originId),
    textArray(rows.map(({ job }) => (job.options === null ? null : JSON.stringify(job.options)))),
  ];
}
