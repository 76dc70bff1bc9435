import { Bits } from '../bits.ts';
import { POSITIONS_OF_A_DRAW } from '../limits.ts';
import type { JobOptions } from '../types.ts';
import { byteaArray, int2Array, int4Array, int8Array, textArray, timestampArray, uuidArray, varbitArray } from './binary.ts';
import type { Statement, TransactionRun } from './hot_connection.ts';
import { levelsOf, type Level } from './levels.ts';

/** A lease as it stands under our lock. */
export interface LockedLease {
  leaseId: bigint;
  secret: bigint;
  queueId: number;
  sessionId: string;
  coordinatorId: string;
  workerId: string;
  /** Who its worker had proved to be; empty: nobody was asked; null: its session is gone. */
  identity: string | null;
  grantedAtMs: number;
  jobIds: string[];
  attempts: number[];
  priorities: number[];
  settled: Bits;
  /** One of its jobs is special: 0002_special.sql. */
  special: boolean;
}

/** What is on record about a job, looked up once its lease is locked. */
export interface JobFacts {
  queueId: number;
  maxAttempts: number | null;
  /** The job's own; what is left out is the queue's. */
  retry: JobOptions['retry'];
  special: boolean;
  bytes: number;
  outcome: { state: number; leaseId: bigint | null } | undefined;
  /** Leases under which attempts of it were reported as failed. */
  attemptLeaseIds: bigint[];
  /** Leases under which attempts of it expired: whatever their holders report now comes too late. */
  expiredLeaseIds: bigint[];
}

const LOCKED_COLUMNS = `l.id, l.secret, l.queue_id, l.session_id, l.coordinator_id, date_part('epoch', l.granted_at) * 1000,
  array_to_string(l.job_ids, ','), array_to_string(l.attempts, ','), array_to_string(l.priorities, ','), l.settled, l.special,
  (select s.worker_id from skiplease.session s where s.id = l.session_id),
  (select s.identity from skiplease.session s where s.id = l.session_id)`;

/** To give jobs back: waits for nobody. What somebody else holds is left out, for the caller to come back to. */
const LOCK_TO_GIVE_BACK: Statement = {
  name: 'lock_leases_skip',
  text: `select ${LOCKED_COLUMNS} from skiplease.lease l where l.id = any($1::int8[]) order by l.id for update of l skip locked`,
};

/** To settle for good: compatible with an application's transaction that completes jobs of the lease in SQL. */
const LOCK_TO_SETTLE: Statement = {
  name: 'lock_leases',
  text: `select ${LOCKED_COLUMNS} from skiplease.lease l where l.id = any($1::int8[]) order by l.id for no key update of l`,
};

const WHICH_EXIST: Statement = { name: 'leases_exist', text: 'select id from skiplease.lease where id = any($1::int8[])' };

/** Locks leases in id order. `busy`: they exist, but somebody holds them. */
export async function lockLeases(
  run: TransactionRun,
  leaseIds: bigint[],
  purpose: 'settle' | 'give back',
): Promise<{ locked: Map<bigint, LockedLease>; busy: Set<bigint> }> {
  const rows = await run(purpose === 'settle' ? LOCK_TO_SETTLE : LOCK_TO_GIVE_BACK, [int8Array(leaseIds)]);
  const locked = new Map<bigint, LockedLease>();
  for (const row of rows) {
    locked.set(BigInt(row[0]!), {
      leaseId: BigInt(row[0]!),
      secret: BigInt(row[1]!),
      queueId: Number(row[2]),
      sessionId: row[3]!,
      coordinatorId: row[4]!,
      grantedAtMs: Number(row[5]),
      jobIds: row[6]!.split(','),
      attempts: row[7]!.split(',').map(Number),
      priorities: row[8]!.split(',').map(Number),
      settled: Bits.parse(row[9]!),
      special: row[10] === 't',
      workerId: row[11] ?? '',
      identity: row[12] ?? null,
    });
  }
  const missing = leaseIds.filter((id) => !locked.has(id));
  const busy = missing.length === 0 || purpose === 'settle' ? [] : await run(WHICH_EXIST, [int8Array(missing)]);
  return { locked, busy: new Set(busy.map((row) => BigInt(row[0]!))) };
}

const LOOK: Statement = {
  name: 'look_at_jobs',
  text: `
  select i.id, j.queue_id, j.max_attempts, j.bytes + coalesce(p.bytes, 0), o.state, o.lease_id,
         a.failed, a.expired, j.special, j.retry
    from unnest($1::uuid[]) i (id)
   cross join lateral (select string_agg(lease_id::text, ',') filter (where state = 1) as failed,
                              string_agg(lease_id::text, ',') filter (where state = 2) as expired
                         from skiplease.attempt where job_id = i.id) a
   cross join lateral (select queue_id, max_attempts, skiplease.is_special(options) as special, options -> 'retry' as retry,
                             skiplease.job_bytes(payload, headers) as bytes
                         from skiplease.job where id = i.id offset 0) j
    left join lateral (select state, lease_id from skiplease.outcome where job_id = i.id offset 0) o on true
    left join lateral (select octet_length(checkpoint) as bytes from skiplease.progress where job_id = i.id offset 0) p on true`,
};

/** What is on record about these jobs; a job that does not exist is left out. */
export async function lookAtJobs(run: TransactionRun, jobIds: string[]): Promise<Map<string, JobFacts>> {
  const rows = await run(LOOK, [uuidArray(jobIds)]);
  return new Map(
    rows.map((row) => [
      row[0]!,
      {
        queueId: Number(row[1]),
        maxAttempts: row[2] === null ? null : Number(row[2]),
        bytes: Number(row[3]),
        outcome: row[4] === null ? undefined : { state: Number(row[4]), leaseId: row[5] === null ? null : BigInt(row[5]!) },
        attemptLeaseIds: idList(row[6] ?? null),
        expiredLeaseIds: idList(row[7] ?? null),
        special: row[8] === 't',
        retry: row[9] === null ? undefined : (JSON.parse(row[9]!) as JobOptions['retry']),
      },
    ]),
  );
}

function idList(listed: string | null): bigint[] {
  return listed ? listed.split(',').map(BigInt) : [];
}

/** A job that ends for good. */
export interface OutcomeRow {
  jobId: string;
  leaseId: bigint;
  state: 4 | 5;
  attempt: number;
  result: Uint8Array | null;
  resultType: string | null;
}

/** A try that failed (1) or expired (2). */
export interface AttemptRow {
  jobId: string;
  number: number;
  leaseId: bigint;
  state: 1 | 2;
  startedAtMs: number;
  workerId: string;
  code: string;
  message: string;
  details: string;
}

/** A job that goes back in line: after a delay, or at once (delayMs 0). */
export interface ReturnRow {
  jobId: string;
  queueId: number;
  bytes: number;
  priority: number;
  attempt: number;
  delayMs: number;
  special: boolean;
  /** It has run: a deadline for its start binds it no more. */
  snoozed: boolean;
}

export interface Decisions {
  masks: { leaseId: bigint; add: Bits }[];
  outcomes: OutcomeRow[];
  attempts: AttemptRow[];
  returns: ReturnRow[];
}

/**
 * Applies what was decided under the locks. Positions come from the sequence, so a returned job is never below a mark. Special
 * ones that are to be ready go there by comeBack.
 */
const WRITE: Statement = {
  name: 'write_decisions',
  text: `
  with clock as materialized (select skiplease.now() as now),
  marked as (
    update skiplease.lease l set settled = l.settled | i.added
      from unnest($1::int8[], $2::varbit[]) as i (lease_id, added) where l.id = i.lease_id
  ),
  ended as (
    insert into skiplease.outcome (job_id, lease_id, finished_at, state, attempt, result_type, result)
    select o.job_id, o.lease_id, clock.now, o.state, o.attempt, o.result_type, o.result
      from unnest($3::uuid[], $4::int8[], $5::int2[], $6::int2[], $7::text[], $8::bytea[])
             as o (job_id, lease_id, state, attempt, result_type, result), clock
    on conflict (job_id) do nothing
    returning job_id
  ),
  forgotten as (
    delete from skiplease.progress where job_id = any($3::uuid[])
  ),
  started as (
    delete from skiplease.deadline where job_id = any($25::uuid[])
  ),
  tried as (
    insert into skiplease.attempt (job_id, number, lease_id, state, started_at, ended_at, worker_id, error_code, error_message, error_details)
    select a.job_id, a.number, a.lease_id, a.state, a.started_at, clock.now, a.worker_id, a.code, a.message, a.details
      from unnest($9::uuid[], $10::int2[], $11::int8[], $12::int2[], $13::timestamptz[], $14::text[], $15::text[], $16::text[], $17::text[])
             as a (job_id, number, lease_id, state, started_at, worker_id, code, message, details), clock
    -- An application that failed the job for good in SQL since the look: the outcome, which it wrote too, says so to the caller.
    on conflict do nothing
  ),
  back as materialized (
    select * from unnest($18::uuid[], $19::int4[], $20::int4[], $21::int2[], $22::int2[], $23::int8[], $24::bool[])
      with ordinality as r (job_id, queue_id, bytes, priority, attempt, delay_ms, special, ordinal)
  ),
  waiting as (
    insert into skiplease.ready ("position", job_id, since, queue_id, bytes, priority, attempt, again)
    select (select nextval('skiplease.position')) * ${POSITIONS_OF_A_DRAW} + ordinal, job_id, clock.now, queue_id, bytes, priority, attempt, true
      from back, clock where delay_ms = 0 and not special
    returning "position"
  ),
  timed as (
    insert into skiplease.scheduled (job_id, run_at, queue_id, bytes, priority, attempt, special)
    select job_id, clock.now + delay_ms * interval '1 millisecond', queue_id, bytes, priority, attempt, special from back, clock where delay_ms > 0
  )
  select (select array_to_string(array_agg(job_id), ',') from ended), (select min("position") from waiting)`,
};

/** Returns the ids that got their outcome by this, and the lowest new position in ready. */
export async function writeDecisions(run: TransactionRun, decisions: Decisions): Promise<{ ended: Set<string>; positionMin: bigint | null }> {
  const { masks, outcomes, attempts, returns } = decisions;
  const [row] = await run(WRITE, [
    int8Array(masks.map(({ leaseId }) => leaseId)),
    varbitArray(masks.map(({ add }) => add)),
    uuidArray(outcomes.map(({ jobId }) => jobId)),
    int8Array(outcomes.map(({ leaseId }) => leaseId)),
    int2Array(outcomes.map(({ state }) => state)),
    int2Array(outcomes.map(({ attempt }) => attempt)),
    textArray(outcomes.map(({ resultType }) => resultType)),
    byteaArray(outcomes.map(({ result }) => result)),
    uuidArray(attempts.map(({ jobId }) => jobId)),
    int2Array(attempts.map(({ number }) => number)),
    int8Array(attempts.map(({ leaseId }) => leaseId)),
    int2Array(attempts.map(({ state }) => state)),
    timestampArray(attempts.map(({ startedAtMs }) => startedAtMs)),
    textArray(attempts.map(({ workerId }) => workerId)),
    textArray(attempts.map(({ code }) => code)),
    textArray(attempts.map(({ message }) => message)),
    textArray(attempts.map(({ details }) => details)),
    uuidArray(returns.map(({ jobId }) => jobId)),
    int4Array(returns.map(({ queueId }) => queueId)),
    int4Array(returns.map(({ bytes }) => bytes)),
    int2Array(returns.map(({ priority }) => priority)),
    int2Array(returns.map(({ attempt }) => attempt)),
    int8Array(returns.map(({ delayMs }) => Math.ceil(delayMs))),
    returns.map(({ special }) => special),
    uuidArray(returns.filter(({ snoozed }) => snoozed).map(({ jobId }) => jobId)),
  ]);
  return {
    ended: new Set(row![0] ? row![0].split(',') : []),
    positionMin: row![1] === null ? null : BigInt(row![1]!),
  };
}

const LOCK_GATES: Statement = { name: 'lock_gates_of', text: 'select skiplease.lock_gates_of($1::uuid[])' };

/** Before special jobs move, once their leases are locked: the gates that they hold or wait for. */
export async function lockGates(run: TransactionRun, jobIds: string[]): Promise<void> {
  await run(LOCK_GATES, [uuidArray(jobIds)]);
}

const COME_BACK: Statement = {
  name: 'come_back',
  text: `select queue_id, priority, "position" from skiplease.come_back($1::uuid[], $2::int4[], $3::int4[], $4::int2[], $5::int2[], $6::bool[])`,
};

/** Special jobs were given back just now, in this transaction: to their places, and others to where they leave room. Returns where jobs became ready. */
export async function comeBack(run: TransactionRun, returns: ReturnRow[]): Promise<Level[]> {
  return levelsOf(await run(COME_BACK, [
    uuidArray(returns.map(({ jobId }) => jobId)),
    int4Array(returns.map(({ queueId }) => queueId)),
    int4Array(returns.map(({ bytes }) => bytes)),
    int2Array(returns.map(({ priority }) => priority)),
    int2Array(returns.map(({ attempt }) => attempt)),
    returns.map(({ delayMs }) => delayMs > 0),
  ]));
}

const AFTER_END: Statement = { name: 'after_end', text: `select queue_id, priority, "position" from skiplease.after_end($1::uuid[])` };

/** What the end of special jobs set going. */
export interface AfterEnd {
  /** Where jobs became ready. */
  levels: Level[];
  /** Something was put into scheduled, due now. */
  scheduled: boolean;
}

const LEAVE_GATES: Statement = { name: 'leave_gates', text: `select queue_id, priority, "position" from skiplease.leave_gates($1::uuid[])` };

/** Jobs of special leases were ended in SQL, which counted them in their batches: they leave their gates. */
export async function leaveGates(run: TransactionRun, jobIds: string[]): Promise<AfterEnd> {
  return { levels: levelsOf(await run(LEAVE_GATES, [uuidArray(jobIds)])), scheduled: false };
}

/** Jobs of special leases got their outcome just now, in this transaction: they leave their batches and gates. */
export async function afterEnd(run: TransactionRun, jobIds: string[]): Promise<AfterEnd> {
  const rows = await run(AFTER_END, [uuidArray(jobIds)]);
  const placed = rows.filter((row) => row[2] !== null);
  return { levels: levelsOf(placed), scheduled: placed.length < rows.length };
}
