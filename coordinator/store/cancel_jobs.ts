import { setTimeout as delay } from 'node:timers/promises';
import { z } from 'zod';
import { SkipleaseError } from '../errors.ts';
import { JobState } from '../types.ts';
import { PLACE } from './job_place.ts';
import type { AfterEnd } from './settle_carefully.ts';
import { nothing, sql } from './pool.ts';
import type { Pool, Queryable } from './pool.ts';
import { sqlState } from './sql_errors.ts';

/** A job that moves (leased, given back) between our look and our lock is looked for again, so many times. */
const TRIES = 5;
const TRY_AGAIN_MS = 20;

const FINAL = new Set<number | null>([JobState.SUCCEEDED, JobState.FAILED, JobState.CANCELLED]);

const LOCK_NOT_AVAILABLE = '55P03';
const DEADLOCK_DETECTED = '40P01';

export interface CancelledJob {
  id: string;
  /** running: it was to be spared, since a worker holds it (or has held it, where only what never started is cancelled). */
  outcome: 'cancelled' | 'already_final' | 'not_found' | 'running';
}

/** A cancelled job that a worker holds: it is to be told. */
export interface CancelledLeased {
  jobId: string;
  leaseId: string;
  sessionId: string;
  coordinatorId: string;
}

/** What one commit cancelled. */
export interface CancelCommit {
  cancelled: { jobId: string }[];
  leased: CancelledLeased[];
  /** How many, by the queue's name. */
  queues: Map<string, number>;
  /** What their end set going: others took their place. */
  wake: AfterEnd;
}

const placed = z.object({
  id: z.string(),
  state: z.number().nullable(),
  queueId: z.number(),
  queue: z.string(),
  priority: z.number(),
  position: z.string().nullable(),
  attempt: z.number(),
  special: z.boolean(),
  leaseId: z.string().nullable(),
  place: z.number().nullable(),
  sessionId: z.string().nullable(),
  coordinatorId: z.string().nullable(),
});
type Placed = z.infer<typeof placed>;

/**
 * Cancels what is not final. `committed` is told after each commit, also when the call as a whole fails with ABORTED
 * because a job was on the move, or locked by an application's transaction, at each try. Calling again is harmless.
 */
export async function cancelJobs(
  pool: Pool,
  ids: string[],
  reason: string,
  committed: (commit: CancelCommit) => void,
  running: CancelRunning = 'cancel',
  code = 'CANCELLED',
): Promise<CancelledJob[]> {
  const cancel: Cancel = { pool, reason, code, running, committed, outcomes: new Map() };
  let remaining = await cancelWhereTheyAre(cancel, [...new Set(ids)]);
  for (let attempt = 1; remaining.length > 0; attempt += 1) {
    if (attempt === TRIES) {
      throw new SkipleaseError('ABORTED', 'JOB_ON_THE_MOVE',
        `${remaining.length} of the jobs could not be cancelled just now, ${remaining[0]} among them; the others were. Call again.`,
        { retryAfterMs: 1_000, metadata: { job_id: remaining[0]! } });
    }
    await delay(TRY_AGAIN_MS * attempt);
    remaining = await cancelWhereTheyAre(cancel, remaining);
  }
  return ids.map((id) => ({ id, outcome: cancel.outcomes.get(id)! }));
}

/** What becomes of those that run; and whether those that wait for another try are spared too. */
export type CancelRunning = 'cancel' | 'spare' | 'spare started';

/** One call, and what it has come to so far. */
interface Cancel {
  pool: Pool;
  reason: string;
  /** The reason in a word. */
  code: string;
  running: CancelRunning;
  committed: (commit: CancelCommit) => void;
  outcomes: Map<string, CancelledJob['outcome']>;
}

/** One transaction for all; when somebody holds a lock for too long, one for each, so that only the locked one waits. */
async function cancelWhereTheyAre(cancel: Cancel, ids: string[]): Promise<string[]> {
  const { pool, outcomes, committed } = cancel;
  try {
    const { cancelled, spared, final, unknown, commit } = await pool.transaction((transaction) => tryOnce(transaction, ids, cancel));
    cancelled.forEach((id) => outcomes.set(id, 'cancelled'));
    spared.forEach((id) => outcomes.set(id, 'running'));
    final.forEach((id) => outcomes.set(id, 'already_final'));
    unknown.forEach((id) => outcomes.set(id, 'not_found'));
    committed(commit);
    return ids.filter((id) => !outcomes.has(id));
  } catch (error) {
    const state = sqlState(error);
    if (state !== LOCK_NOT_AVAILABLE && state !== DEADLOCK_DETECTED) {
      throw error;
    }
    if (ids.length === 1) {
      return ids;
    }
    const left: string[] = [];
    for (const id of ids) {
      left.push(...(await cancelWhereTheyAre(cancel, [id])));
    }
    return left;
  }
}

/** Locate, lock, look again: where a job's row is, is its lock. The order of locks: leases by id, gates, blocked, ready and scheduled, outcome by id. */
async function tryOnce(transaction: Queryable, ids: string[], { reason, code, running }: Cancel) {
  const found = await transaction.any(sql.type(placed)`
    with wanted as materialized (select id from unnest(${sql.array(ids, 'uuid')}) as t (id)), ${PLACE}
    select place.id, state, queue_id as "queueId", q.name as queue, priority, ready_position::text as position, attempt,
           skiplease.is_special(options) as special, lease_id::text as "leaseId", lease_place::int as place, session_id as "sessionId", coordinator_id as "coordinatorId"
      from place join skiplease.queue q on q.id = queue_id`);
  const known = new Set(found.map(({ id }) => id));
  const leasedNow = found.filter(({ leaseId }) => leaseId !== null);
  const held = running === 'cancel' ? await lockHeld(transaction, leasedNow) : [];
  const gated = found.filter(({ special }) => special).map(({ id }) => id);
  if (gated.length > 0) {
    await transaction.query(sql.type(nothing)`select skiplease.lock_gates_of(${sql.array(gated, 'uuid')})`);
  }
  const waiting = found.filter(({ state }) => state === JobState.SCHEDULED || state === JobState.READY || state === JobState.BLOCKED);
  const started = running === 'spare started' ? waiting.filter(({ attempt }) => attempt > 0) : [];
  const gone = await takeWaiting(transaction, waiting.filter((job) => !started.includes(job)));
  const cancelled = await end(transaction, [...held, ...gone.map((job) => ({ ...job, leaseId: null }))], reason, code);
  const leased = held.filter(({ id }) => cancelled.has(id));
  await markSettled(transaction, leased);
  return {
    cancelled,
    spared: running === 'cancel' ? [] : [...leasedNow, ...started].map(({ id }) => id),
    commit: {
      cancelled: [...cancelled].map((jobId) => ({ jobId })),
      wake: await afterEnd(transaction, found.filter(({ id, special }) => special && cancelled.has(id)).map(({ id }) => id)),
      leased: leased.map(({ id, leaseId, sessionId, coordinatorId }) => ({
        jobId: id, leaseId: leaseId!, sessionId: sessionId!, coordinatorId: coordinatorId!,
      })),
      queues: countByQueue(found.filter(({ id }) => cancelled.has(id))),
    },
    final: found.filter(({ state }) => FINAL.has(state)).map(({ id }) => id),
    unknown: ids.filter((id) => !known.has(id)),
  };
}

function countByQueue(jobs: Placed[]): Map<string, number> {
  const counts = new Map<string, number>();
  for (const { queue } of jobs) {
    counts.set(queue, (counts.get(queue) ?? 0) + 1);
  }
  return counts;
}

/** Locks the leases, then looks, with a new snapshot, which of the jobs they still hold. */
async function lockHeld(transaction: Queryable, jobs: Placed[]): Promise<Placed[]> {
  if (jobs.length === 0) {
    return [];
  }
  const leaseIds = sql.array([...new Set(jobs.map(({ leaseId }) => leaseId!))], 'int8');
  await transaction.query(sql.type(nothing)`
    select id from skiplease.lease where id = any(${leaseIds}) order by id for no key update`);
  const still = await transaction.any(sql.type(z.object({ id: z.string(), sessionId: z.string(), coordinatorId: z.string() }))`
    select i.job_id as id, l.session_id as "sessionId", l.coordinator_id as "coordinatorId"
      from unnest(${sql.array(jobs.map(({ id }) => id), 'uuid')}, ${sql.array(jobs.map(({ leaseId }) => leaseId), 'int8')},
                  ${sql.array(jobs.map(({ place }) => place), 'int4')}) as i (job_id, lease_id, place)
      join skiplease.lease l on l.id = i.lease_id and get_bit(l.settled, i.place - 1) = 0`);
  const now = new Map(still.map((row) => [row.id, row]));
  return jobs.filter(({ id }) => now.has(id)).map((job) => ({ ...job, ...now.get(job.id)! }));
}

/** Special ones leave their batches and gates. */
async function afterEnd(transaction: Queryable, ids: string[]): Promise<AfterEnd> {
  if (ids.length === 0) {
    return { levels: [], scheduled: false };
  }
  const rows = await transaction.any(sql.type(z.object({ queueId: z.number().nullable(), priority: z.number().nullable(), position: z.string().nullable() }))`
    select queue_id as "queueId", priority, "position"::text as position from skiplease.after_end(${sql.array(ids, 'uuid')})`);
  const wakes = rows.filter(({ position }) => position !== null);
  return {
    levels: wakes.map(({ queueId, priority, position }) => ({ queueId: queueId!, priority: priority!, positionMin: BigInt(position!) })),
    scheduled: wakes.length < rows.length,
  };
}

/** Deletes what waits. What a claim took meanwhile is not returned, and is looked for again. */
async function takeWaiting(transaction: Queryable, jobs: Placed[]): Promise<Placed[]> {
  const ready = jobs.filter(({ position }) => position !== null);
  const timed = jobs.filter(({ state }) => state === JobState.SCHEDULED);
  const blocked = jobs.filter(({ state }) => state === JobState.BLOCKED);
  const taken = new Set<string>();
  const idRow = sql.type(z.object({ id: z.string() }));
  if (ready.length > 0) {
    const rows = await transaction.any(idRow`
      with mine as materialized (
        select r.ctid as tid from unnest(${sql.array(ready.map(({ queueId }) => queueId), 'int4')},
                 ${sql.array(ready.map(({ priority }) => priority), 'int2')},
                 ${sql.array(ready.map(({ position }) => position), 'int8')}) as i (queue_id, priority, "position")
          join skiplease.ready r using (queue_id, priority, "position") order by r."position" for update of r
      )
      delete from skiplease.ready where ctid = any(array(select tid from mine)) returning job_id as id`);
    rows.forEach(({ id }) => taken.add(id));
  }
  if (timed.length > 0) {
    const rows = await transaction.any(idRow`
      with mine as materialized (
        select job_id from skiplease.scheduled where job_id = any(${sql.array(timed.map(({ id }) => id), 'uuid')}) order by job_id for update
      )
      delete from skiplease.scheduled where job_id = any(array(select job_id from mine)) returning job_id as id`);
    rows.forEach(({ id }) => taken.add(id));
  }
  if (blocked.length > 0) {
    const rows = await transaction.any(idRow`
      with mine as materialized (
        select job_id from skiplease.blocked where job_id = any(${sql.array(blocked.map(({ id }) => id), 'uuid')}) order by job_id for update
      )
      delete from skiplease.blocked where job_id = any(array(select job_id from mine)) returning job_id as id`);
    rows.forEach(({ id }) => taken.add(id));
  }
  return jobs.filter(({ id }) => taken.has(id));
}

/** The outcome's key decides; only what was inserted is cancelled. */
async function end(
  transaction: Queryable, jobs: { id: string; leaseId: string | null; attempt: number }[], reason: string, code: string,
): Promise<Set<string>> {
  if (jobs.length === 0) {
    return new Set();
  }
  const rows = await transaction.any(sql.type(z.object({ id: z.string() }))`
    insert into skiplease.outcome (job_id, lease_id, finished_at, state, attempt, reason)
    select i.job_id, i.lease_id, c.now, 6, i.attempt, array[${code}::text, ${reason}::text]
      from unnest(${sql.array(jobs.map(({ id }) => id), 'uuid')}, ${sql.array(jobs.map(({ leaseId }) => leaseId), 'int8')},
                  ${sql.array(jobs.map(({ attempt }) => attempt), 'int2')}) as i (job_id, lease_id, attempt),
           (select skiplease.now() as now) c
     order by i.job_id
    on conflict (job_id) do nothing
    returning job_id as id`);
  return new Set(rows.map(({ id }) => id));
}

/** A later report of these finds its bit set. Leases that are settled to the end now are swept by whoever sweeps them. */
async function markSettled(transaction: Queryable, jobs: Placed[]): Promise<void> {
  if (jobs.length > 0) {
    await transaction.query(sql.type(nothing)`
      update skiplease.lease l set settled = l.settled | m.bits
        from (select i.lease_id, bit_or(set_bit(repeat('0', length(h.settled))::bit varying, i.place - 1, 1)) as bits
                from unnest(${sql.array(jobs.map(({ leaseId }) => leaseId), 'int8')}, ${sql.array(jobs.map(({ place }) => place), 'int4')})
                       as i (lease_id, place)
                join skiplease.lease h on h.id = i.lease_id group by i.lease_id) m
       where l.id = m.lease_id`);
  }
}
