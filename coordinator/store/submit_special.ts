import { byteaArray, int2Array, int4Array, int8Array, textArray, timestampArray, uuidArray } from './binary.ts';
import type { Statement, TransactionRun } from './hot_connection.ts';
import { isLocked } from './sql_errors.ts';
import { repeatsOf, type CallerSubmit, type SubmitRow } from './submit.ts';
import { splitAtKeys, takeKeys } from './take_keys.ts';

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
  select id from inserted`,
};

const ENTER: Statement = {
  name: 'enter',
  text: `select min("position") from skiplease.enter($1::uuid[], false)`,
};

/** One caller's jobs, some of them with options, within a transaction. */
export async function submitSpecialCaller(run: TransactionRun, rows: SubmitRow[]): Promise<CallerSubmit> {
  const parts: CallerSubmit[] = [];
  for (const part of splitAtKeys(rows)) {
    parts.push(await submitPart(run, part));
  }
  return parts.length === 1 ? parts[0]! : together(parts);
}

async function submitPart(run: TransactionRun, rows: SubmitRow[]): Promise<CallerSubmit> {
  const effects = await takeKeys(run, rows);
  const entering = effects === undefined ? rows : rows.filter(({ job }) => !effects.standIns.has(job.id));
  const inserted = new Set((await run(INSERT, parameters(entering))).map(([id]) => id!));
  // In the order of the request, and once each: an id that it names twice is one job.
  const newIds = new Set(entering.map(({ job }) => job.id).filter((id) => inserted.has(id)));
  const repeats = await repeatsOf(run, entering, inserted);
  const [row] = await run(ENTER, [uuidArray([...newIds])]);
  return { positionMin: row![0] === null ? null : BigInt(row![0]!), ...repeats, effects };
}

function together(parts: CallerSubmit[]): CallerSubmit {
  const effects = parts.flatMap((part) => part.effects ?? []);
  return {
    positionMin: parts.find(({ positionMin }) => positionMin !== null)?.positionMin ?? null,
    existingIds: parts.flatMap(({ existingIds }) => existingIds),
    takenIds: parts.flatMap(({ takenIds }) => takenIds),
    effects: {
      standIns: new Map(effects.flatMap(({ standIns }) => [...standIns])),
      replaced: new Map(effects.flatMap(({ replaced }) => [...replaced])),
      wake: { levels: effects.flatMap(({ wake }) => wake.levels), scheduled: effects.some(({ wake }) => wake.scheduled) },
    },
  };
}

const LOCK_GATES: Statement = { name: 'lock_gates', text: 'select skiplease.lock_gates($1::int2, $2::int4[], $3::text[], null)' };
const FORGET_GATES: Statement = { name: 'forget_gates', text: 'select skiplease.forget_gates($1::int8[])' };
/** Of gates, as in blocked.reason. */
const SERIAL_KEY = 2;
const LIMIT_KEY = 3;

/**
 * Callers of one transaction would lock their gates one caller after the other, and two such transactions could wait for each
 * other: so all are locked before, in the order that all keep. Returns those gates; none where somebody holds one for too
 * long, who is then met by the callers that need it.
 */
export async function lockCallersGates(run: TransactionRun, callers: SubmitRow[][]): Promise<string[]> {
  const rows = callers.flat().filter(({ job }) => job.runAtMs === null && job.options?.after === undefined);
  await run('savepoint gates');
  try {
    const serial = await lockGates(run, SERIAL_KEY, rows, ({ job }) => job.options?.serialKey);
    return [...serial, ...(await lockGates(run, LIMIT_KEY, rows, ({ job }) => job.options?.limitKey))];
  } catch (error) {
    if (!isLocked(error)) {
      throw error;
    }
    await run('rollback to savepoint gates');
    return [];
  }
}

async function lockGates(run: TransactionRun, kind: number, rows: SubmitRow[], keyOf: (row: SubmitRow) => string | undefined): Promise<string[]> {
  const keyed = rows.filter((row) => keyOf(row) !== undefined);
  if (keyed.length === 0) {
    return [];
  }
  const [row] = await run(LOCK_GATES, [kind, int4Array(keyed.map(({ queueId }) => queueId)), textArray(keyed.map((item) => keyOf(item)!))]);
  return row![0]!.slice(1, -1).split(',');
}

/** Those of the locked gates that nobody came to after all: refused callers, and repeats. */
export async function forgetGates(run: TransactionRun, gateIds: string[]): Promise<void> {
  if (gateIds.length > 0) {
    await run(FORGET_GATES, [int8Array(gateIds.map(BigInt))]);
  }
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
