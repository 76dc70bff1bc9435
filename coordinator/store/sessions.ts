import { int4Array, int8Array, textArray, uuidArray } from './binary.ts';
import { Bits } from '../bits.ts';
import type { Specials } from './claim.ts';
import type { HotConnection, Statement, TransactionRun } from './hot_connection.ts';

/** One worker's stream, as others see it. */
export interface SessionRow {
  sessionId: string;
  workerId: string;
  instanceId: string;
  /** Who the worker has proved to be; empty: nobody was asked. */
  identity: string;
  queues: string[];
  windowJobs: number;
  sdk: string;
  sdkVersion: string;
}

const HELLO: Statement = {
  name: 'hello',
  text: `insert into skiplease.session (id, coordinator_id, worker_id, instance_id, queues, window_jobs, sdk, sdk_version, identity, connected_at)
    select i.id, $9::uuid, i.worker_id, i.instance_id, string_to_array(i.queues, ','), i.window_jobs, i.sdk, i.sdk_version, i.identity, skiplease.now()
      from unnest($1::uuid[], $2::text[], $3::text[], $4::text[], $5::int4[], $6::text[], $7::text[], $8::text[])
             as i (id, worker_id, instance_id, queues, window_jobs, sdk, sdk_version, identity)
    on conflict (id) do nothing`,
};

/** Many hellos in one statement. */
export async function insertSessions(connection: HotConnection, coordinatorId: string, sessions: SessionRow[]): Promise<void> {
  await connection.run(HELLO, [
    uuidArray(sessions.map(({ sessionId }) => sessionId)),
    textArray(sessions.map(({ workerId }) => workerId)),
    textArray(sessions.map(({ instanceId }) => instanceId)),
    textArray(sessions.map(({ queues }) => queues.join(','))),
    int4Array(sessions.map(({ windowJobs }) => windowJobs)),
    textArray(sessions.map(({ sdk }) => sdk)),
    textArray(sessions.map(({ sdkVersion }) => sdkVersion)),
    textArray(sessions.map(({ identity }) => identity)),
    coordinatorId,
  ]);
}

const BYE: Statement = {
  name: 'bye',
  text: `delete from skiplease.session where id = any($1::uuid[]) and coordinator_id = $2::uuid`,
};

/** Many goodbyes in one statement. */
export async function deleteSessions(connection: HotConnection, coordinatorId: string, sessionIds: string[]): Promise<void> {
  await connection.run(BYE, [uuidArray(sessionIds), coordinatorId]);
}

const COUNT: Statement = {
  name: 'count_sessions',
  text: `select count(*) from skiplease.session s
    where exists (select 1 from skiplease.coordinator c where c.id = s.coordinator_id and c.expires_at > skiplease.now())`,
};

/** Of all coordinators that are alive. */
export async function countSessions(connection: HotConnection): Promise<number> {
  const [row] = await connection.run(COUNT, []);
  return Number(row![0]);
}

/** A token that a hello names, and the session that says so. */
export interface HeldToken {
  leaseId: bigint;
  secret: bigint;
  sessionId: string;
  identity: string;
}

/** A lease that a worker goes on with under a new session. */
export interface ResumedLease {
  leaseId: bigint;
  secret: bigint;
  queueId: number;
  grantedAtMs: number;
  jobIds: string[];
  attempts: number[];
  settled: Bits;
  /** By place in jobIds. */
  bytes: number[];
  /** Jobs whose end concerns others may be among them: all are taken for such. */
  specials: Specials | undefined;
  /** By place in jobIds; undefined: none has one. */
  timeoutsMs: (number | null)[] | undefined;
}

const RESUME: Statement = {
  name: 'resume',
  text: `
  with mine as materialized (
    select l.id, i.session_id from unnest($1::int8[], $2::int8[], $3::uuid[], $5::text[]) as i (id, secret, session_id, identity)
     cross join lateral (select id from skiplease.session where id = i.session_id for key share) own
     cross join lateral (
       select id from skiplease.lease h where id = i.id and secret = i.secret
          and (i.identity = '' or exists (select 1 from skiplease.session s where s.id = h.session_id and s.identity in ('', i.identity)))
          for no key update of h) l
     order by l.id
  ),
  moved as (
    update skiplease.lease l set session_id = mine.session_id, coordinator_id = $4::uuid from mine where l.id = mine.id
    returning l.*
  )
  select m.id, m.secret, m.queue_id, date_part('epoch', m.granted_at) * 1000, array_to_string(m.job_ids, ','),
         array_to_string(m.attempts, ','), m.settled, m.special
    from moved m`,
};

/**
 * What a holder counts of its jobs. Not in the statement that locks: a row that had changed meanwhile makes PostgreSQL (18.4) look at it
 * anew with a copy of the plan, and what it prunes partitions with is gone when that copy is. The backend crashes, and the server restarts.
 */
const LOOK_AT_RESUMED: Statement = {
  name: 'look_at_resumed',
  text: `
  select l.id,
         (select string_agg(coalesce(j.bytes, 0)::text, ',' order by u.place)
            from unnest(l.job_ids) with ordinality u (id, place)
            left join lateral (select skiplease.job_bytes(payload, headers) as bytes from skiplease.job where id = u.id offset 0) j on true),
         (select string_agg(coalesce(j.timeout_ms::text, ''), ',' order by u.place)
            from unnest(l.job_ids) with ordinality u (id, place)
            left join lateral (select timeout_ms from skiplease.job where id = u.id offset 0) j on true)
    from skiplease.lease l where l.id = any($1::int8[])`,
};

/**
 * The tokens prove the hold: whoever names one moves the lease to its own session, on whatever coordinator. Who has proved
 * an identity besides may move only what was leased to it, or to somebody whom nobody asked. And nothing is moved to a session that a
 * later hello of the same instance has ended: its worker is there, with the lease.
 */
export async function resumeLeases(run: TransactionRun, coordinatorId: string, held: HeldToken[]): Promise<ResumedLease[]> {
  const inOrder = held.toSorted((a, b) => (a.leaseId < b.leaseId ? -1 : 1));
  const rows = await run(RESUME, [
    int8Array(inOrder.map(({ leaseId }) => leaseId)),
    int8Array(inOrder.map(({ secret }) => secret)),
    uuidArray(inOrder.map(({ sessionId }) => sessionId)),
    coordinatorId,
    textArray(inOrder.map(({ identity }) => identity)),
  ]);
  const looks = rows.length === 0 ? [] : await run(LOOK_AT_RESUMED, [int8Array(rows.map((row) => BigInt(row[0]!)))]);
  const lookOf = new Map(looks.map((row) => [row[0]!, row]));
  return rows.map((row) => {
    const [, bytes, timeouts] = lookOf.get(row[0]!)!;
    return {
      leaseId: BigInt(row[0]!),
      secret: BigInt(row[1]!),
      queueId: Number(row[2]),
      grantedAtMs: Number(row[3]),
      jobIds: row[4]!.split(','),
      attempts: row[5]!.split(',').map(Number),
      settled: Bits.parse(row[6]!),
      bytes: bytes!.split(',').map(Number),
      specials: row[7] === 't' ? new Map(row[4]!.split(',').map((id) => [id, null])) : undefined,
      timeoutsMs: /\d/.test(timeouts!) ? timeouts!.split(',').map((text) => (text === '' ? null : Number(text))) : undefined,
    };
  });
}

/** A session that its instance has left behind. */
export interface EarlierSession {
  sessionId: string;
  coordinatorId: string;
  replacedById: string;
}

const END_EARLIER: Statement = {
  name: 'end_earlier_sessions',
  text: `
  with earlier as materialized (
    select s.id, own.id as replaced_by from unnest($1::text[], $2::uuid[], $3::text[]) as i (instance_id, session_id, identity)
     cross join lateral (select id from skiplease.session where id = i.session_id for key share) own
     cross join lateral (select id from skiplease.session
                          where instance_id = i.instance_id and identity = i.identity and id <> i.session_id offset 0) s
  )
  delete from skiplease.session s using earlier e where s.id = e.id returning s.id, s.coordinator_id, e.replaced_by`,
};

/**
 * Ends the instances' earlier sessions, on whatever coordinators; one that has been ended itself ends no other. Nobody is the instance of
 * another identity.
 */
export async function endEarlierSessions(
  run: TransactionRun, sessions: { instanceId: string; identity: string; sessionId: string }[],
): Promise<EarlierSession[]> {
  const rows = await run(END_EARLIER, [
    textArray(sessions.map(({ instanceId }) => instanceId)),
    uuidArray(sessions.map(({ sessionId }) => sessionId)),
    textArray(sessions.map(({ identity }) => identity)),
  ]);
  return rows.map((row) => ({ sessionId: row[0]!, coordinatorId: row[1]!, replacedById: row[2]! }));
}

const LEASES_OF: Statement = {
  name: 'leases_of',
  text: `select l.id, i.id, i.coordinator_id from unnest($1::uuid[], $2::uuid[]) as i (id, coordinator_id)
    cross join lateral (select id from skiplease.lease where session_id = i.id offset 0) l`,
};

/** What stands in the name of these sessions: after a resume, all that their instances did not name. */
export async function leasesOf(
  connection: HotConnection, sessions: { sessionId: string; coordinatorId: string }[],
): Promise<{ leaseId: bigint; sessionId: string; coordinatorId: string }[]> {
  const rows = await connection.run(LEASES_OF, [
    uuidArray(sessions.map(({ sessionId }) => sessionId)),
    uuidArray(sessions.map(({ coordinatorId }) => coordinatorId)),
  ]);
  return rows.map((row) => ({ leaseId: BigInt(row[0]!), sessionId: row[1]!, coordinatorId: row[2]! }));
}

const GONE: Statement = {
  name: 'gone_sessions',
  text: `select i.id from unnest($1::uuid[]) i (id) where not exists (select from skiplease.session s where s.id = i.id)`,
};

/** Those of these sessions that others have ended: replaced by their instance elsewhere, or given up with their coordinator. */
export async function goneSessions(connection: HotConnection, sessionIds: string[]): Promise<string[]> {
  return (await connection.run(GONE, [uuidArray(sessionIds)])).map((row) => row[0]!);
}

/** A lease in the name of a session that is to be given up. */
export interface SilentLease {
  leaseId: bigint;
  sessionId: string;
  /** Its worker has said hello elsewhere, which ended this session: what was leased to it since then never reached anybody. */
  replaced: boolean;
}

const LEASES_OF_SESSIONS: Statement = {
  name: 'leases_of_sessions',
  text: `select l.id, i.id, not exists (select from skiplease.session s where s.id = i.id) from unnest($1::uuid[]) i (id)
    cross join lateral (select id from skiplease.lease where session_id = i.id and coordinator_id = $2::uuid offset 0) l`,
};

/** What sessions of this coordinator hold: nothing of what was resumed elsewhere meanwhile. */
export async function leasesOfSessions(connection: HotConnection, coordinatorId: string, sessionIds: string[]): Promise<SilentLease[]> {
  const rows = await connection.run(LEASES_OF_SESSIONS, [uuidArray(sessionIds), coordinatorId]);
  return rows.map((row) => ({ leaseId: BigInt(row[0]!), sessionId: row[1]!, replaced: row[2] === 't' }));
}
