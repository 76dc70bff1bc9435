import { int4Array, textArray, uuidArray } from './binary.ts';
import type { Statement, TransactionRun } from './hot_connection.ts';
import { afterEnd } from './settle_carefully.ts';
import { isLocked } from './sql_errors.ts';
import type { SubmitEffects, SubmitRow } from './submit.ts';

const LOCK: Statement = { name: 'lock_keys', text: 'select skiplease.lock_keys($1::int4[], $2::text[], $3::jsonb[])' };

const TAKE: Statement = {
  name: 'take_keys',
  text: `select i.id, t.holder_id, t.replaced_id from unnest($1::uuid[], $2::int4[], $3::text[], $4::jsonb[]) as i (id, queue_id, type, wanted)
          cross join lateral skiplease.take_key(i.id, i.queue_id, i.type, i.wanted) t
          where t.holder_id is not null or t.replaced_id is not null`,
};

/**
 * Locks the keys of all these jobs in one order: two transactions that want the same ones, each for several callers, do not
 * deadlock. Where somebody holds one for too long nothing is locked, and each caller waits for its own.
 */
export async function lockKeys(run: TransactionRun, rows: SubmitRow[]): Promise<void> {
  const unique = rows.filter(hasKey);
  if (unique.length === 0) {
    return;
  }
  await run('savepoint keys');
  try {
    await run(LOCK, columns(unique));
  } catch (error) {
    if (!isLocked(error)) {
      throw error;
    }
    await run('rollback to savepoint keys');
  }
  await run('release savepoint keys');
}

/**
 * Takes the keys of these jobs, no two of the same key among them, before they are inserted in the same transaction.
 * undefined: every key was free, or nobody asked for one.
 */
export async function takeKeys(run: TransactionRun, rows: SubmitRow[]): Promise<SubmitEffects | undefined> {
  const unique = rows.filter(hasKey);
  const taken = unique.length === 0 ? [] : await run(TAKE, [uuidArray(unique.map(({ job }) => job.id)), ...columns(unique)]);
  if (taken.length === 0) {
    return undefined;
  }
  const standIns = new Map<string, string>();
  const replaced = new Map<string, string>();
  for (const [id, holderId, replacedId] of taken) {
    if (holderId) {
      standIns.set(id!, holderId);
    } else {
      replaced.set(id!, replacedId!);
    }
  }
  const wake = replaced.size === 0 ? { levels: [], scheduled: false } : await afterEnd(run, [...replaced.values()]);
  return { standIns, replaced, wake };
}

/** Splits jobs, in their order, where one has the key of an earlier one: it must find that one inserted. */
export function splitAtKeys(rows: SubmitRow[]): SubmitRow[][] {
  const parts: SubmitRow[][] = [[]];
  let keys = new Set<string>();
  for (const row of rows) {
    const key = keyOf(row);
    if (key !== undefined && keys.has(key)) {
      parts.push([]);
      keys = new Set();
    }
    if (key !== undefined) {
      keys.add(key);
    }
    parts.at(-1)!.push(row);
  }
  return parts;
}

function keyOf({ job: { type, options }, queueId }: SubmitRow): string | undefined {
  const unique = options?.unique;
  return unique && JSON.stringify([queueId, unique.scope === 'queue_and_type' ? type : '', unique.key]);
}

function hasKey({ job }: SubmitRow): boolean {
  return job.options?.unique !== undefined;
}

function columns(rows: SubmitRow[]): unknown[] {
  return [
    int4Array(rows.map(({ queueId }) => queueId)),
    textArray(rows.map(({ job }) => job.type)),
    rows.map(({ job }) => JSON.stringify(job.options!.unique)),
  ];
}
