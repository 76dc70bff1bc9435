import { uuidArray } from './binary.ts';
import type { HotConnection, Statement, TransactionRun } from './hot_connection.ts';

/** What a coordinator learns with each tick. */
export interface Beat {
  /** Its own row was there and was renewed; false: others gave it up meanwhile, and removed the row. */
  renewed: boolean;
  nowMs: number;
  /** Coordinators that are alive, this one included. */
  alive: number;
  /** Given up: their rows expired more than one time to live ago. */
  expiredIds: string[];
  /** When the next scheduled job is due; null: none. */
  nextRunAtMs: number | null;
  /** When the next job must have started; null: none must. */
  nextStartByMs: number | null;
  /** When the next schedule ticks; null: none. */
  nextTickMs: number | null;
}

const BEAT: Statement = {
  name: 'beat',
  text: `
  with clock as materialized (select skiplease.now() as now),
  beat as (
    update skiplease.coordinator set expires_at = clock.now + $2::int8 * interval '1 millisecond' from clock where id = $1::uuid returning id
  )
  select exists (select 1 from beat), date_part('epoch', clock.now) * 1000,
         (select count(*) from skiplease.coordinator where expires_at > clock.now or id = $1::uuid),
         (select array_to_string(array_agg(id), ',') from skiplease.coordinator
           where id <> $1::uuid and expires_at < clock.now - $2::int8 * interval '1 millisecond'),
         (select date_part('epoch', run_at) * 1000 from skiplease.scheduled order by run_at limit 1),
         (select date_part('epoch', start_by) * 1000 from skiplease.deadline order by start_by limit 1),
         (select date_part('epoch', next_at) * 1000 from skiplease.schedule where next_at is not null order by next_at limit 1)
    from clock`,
};

/** One statement a tick, however many workers and leases there are. */
export async function beat(connection: HotConnection, coordinatorId: string, ttlMs: number): Promise<Beat> {
  const [row] = await connection.run(BEAT, [coordinatorId, ttlMs]);
  return {
    renewed: row![0] === 't',
    nowMs: Number(row![1]),
    alive: Number(row![2]),
    expiredIds: row![3] ? row![3].split(',') : [],
    nextRunAtMs: row![4] === null ? null : Number(row![4]),
    nextStartByMs: row![5] === null ? null : Number(row![5]),
    nextTickMs: row![6] === null ? null : Number(row![6]),
  };
}

const ENTER: Statement = {
  name: 'enter',
  text: `insert into skiplease.coordinator (id, started_at, expires_at, address)
    select $1::uuid, now, now + $2::int8 * interval '1 millisecond', $3::text from (select skiplease.now() as now) c
    on conflict (id) do update set expires_at = excluded.expires_at`,
};

export async function enter(connection: HotConnection, coordinatorId: string, ttlMs: number, address: string): Promise<void> {
  await connection.run(ENTER, [coordinatorId, ttlMs, address]);
}

const LEAVE: Statement = {
  name: 'leave',
  text: `with gone as (
      delete from skiplease.coordinator where id = $1::uuid
        and not exists (select 1 from skiplease.lease where coordinator_id = $1::uuid) returning id)
    update skiplease.coordinator set expires_at = skiplease.now() where id = $1::uuid and not exists (select 1 from gone)`,
};

/** A clean stop. While leases are left behind the row stays, expired, so that others give them up in due time. */
export async function leave(connection: HotConnection, coordinatorId: string): Promise<void> {
  await connection.run(LEAVE, [coordinatorId]);
}

/** A lease of a coordinator that was given up. */
export interface LeftBehind {
  leaseId: bigint;
  coordinatorId: string;
  /** Its session has ended: its worker went elsewhere, or took its leave. What it has not been given back yet never reached it, or was not begun. */
  ended: boolean;
}

const LEFT_BEHIND: Statement = {
  name: 'left_behind',
  text: `select l.id, l.coordinator_id, not exists (select from skiplease.session s where s.id = l.session_id)
    from skiplease.lease l where l.coordinator_id = any($1::uuid[]) order by l.id limit 1000`,
};

/** Leases of coordinators that were given up. */
export async function leasesLeftBehind(connection: HotConnection, coordinatorIds: string[]): Promise<LeftBehind[]> {
  const rows = await connection.run(LEFT_BEHIND, [uuidArray(coordinatorIds)]);
  return rows.map((row) => ({ leaseId: BigInt(row[0]!), coordinatorId: row[1]!, ended: row[2] === 't' }));
}

const ADOPT: Statement = {
  name: 'adopt_leases',
  text: `insert into skiplease.coordinator (id, started_at, expires_at, address)
    select distinct l.coordinator_id, c.now, c.now, '' from skiplease.lease l, (select skiplease.now() as now) c
     where not exists (select from skiplease.coordinator where id = l.coordinator_id)
    on conflict (id) do nothing`,
};

/**
 * A coordinator that was given up and buried may come back, lease jobs before its next heartbeat, and be killed before it: then
 * leases stand in a name that has no row, and nobody would ever give them up. They get one that has expired just now.
 */
export async function adoptLeases(connection: HotConnection): Promise<void> {
  await connection.run(ADOPT, []);
}

const BURY: Statement = {
  name: 'bury',
  text: `with dead as (
      delete from skiplease.coordinator c where c.id = any($1::uuid[])
         and c.expires_at < skiplease.now() - $2::int8 * interval '1 millisecond'
         and not exists (select 1 from skiplease.lease where coordinator_id = c.id) returning c.id)
    delete from skiplease.session s using dead where s.coordinator_id = dead.id`,
};

/** Removes the rows of coordinators that were given up and hold nothing any more, with their sessions. */
export async function bury(connection: HotConnection, coordinatorIds: string[], ttlMs: number): Promise<void> {
  await connection.run(BURY, [uuidArray(coordinatorIds), ttlMs]);
}

/**
 * Inside the transaction that takes leases in a dead coordinator's name: is it still given up? Its row is locked, so that
 * its next heartbeat waits for our commit.
 */
export async function lockExpired(run: TransactionRun, coordinatorIds: string[], ttlMs: number): Promise<Set<string>> {
  return new Set((await run(STILL_EXPIRED, [uuidArray(coordinatorIds), ttlMs])).map((row) => row[0]!));
}

const STILL_EXPIRED: Statement = {
  name: 'still_expired',
  text: `select id from skiplease.coordinator
    where id = any($1::uuid[]) and expires_at < skiplease.now() - $2::int8 * interval '1 millisecond' for share`,
};

const OWN_UNKNOWN: Statement = {
  name: 'own_leases',
  text: `select id from skiplease.lease where coordinator_id = $1::uuid`,
};

/** Every lease that stands in this coordinator's name, to find those that no session knows of after an ambiguous commit. */
export async function ownLeases(connection: HotConnection, coordinatorId: string): Promise<bigint[]> {
  return (await connection.run(OWN_UNKNOWN, [coordinatorId])).map((row) => BigInt(row[0]!));
}
