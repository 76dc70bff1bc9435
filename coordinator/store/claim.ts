import { int2Array, int4Array, int8Array, uuidArray } from './binary.ts';
import type { HotConnection, Row, Statement } from './hot_connection.ts';

/** A lease to be cut: for one session, of one queue. */
export interface ClaimSlot {
  sessionId: string;
  secret: bigint;
  jobs: number;
  bytes: number;
  /** The first job is taken even if it alone is larger than `bytes`. */
  firstAtAnySize: boolean;
}

/** What is wanted of one queue: its slots in turn, from its levels (highest priority first). */
export interface ClaimQueue {
  queueId: number;
  levels: { priority: number; mark: bigint }[];
  slots: ClaimSlot[];
}

export interface ClaimedJob {
  id: string;
  type: string;
  payload: Buffer;
  contentType: string | null;
  attempt: number;
  maxAttempts: number | null;
  timeoutMs: number | null;
  headers: string | null;
  checkpoint: Buffer | null;
  priority: number;
  bytes: number;
  waitedMs: number;
}

/** What came of one slot: nothing, or a lease with its jobs in claim order. */
export interface ClaimedSlot {
  leaseId: bigint;
  jobs: ClaimedJob[];
}

export interface ClaimResult {
  /** By queue, then by slot, as asked; undefined where nothing was left. */
  slots: (ClaimedSlot | undefined)[][];
  /** By queue: the last position taken of each priority that gave jobs. */
  marks: Map<number, bigint>[];
  /** By queue: nothing is left. Fewer jobs were there than the slots asked for, and the bytes shut none of them out. */
  short: boolean[];
}

/**
 * Claims for all sessions at once: per queue a walk down its priorities from their marks, as far as the slots need; rows
 * are cut into slots by place (slot_of) and, within a slot, by bytes. What the bytes shut out stays where it is: locked
 * for the length of the statement, not deleted.
 *
 * The nested LIMITs stop the walk early: a lower priority is not touched while a higher one suffices.
 * Tried instead: one claim per priority, asked from JavaScript (as many round trips as levels); a join of picked rows with
 * slots by range (rows × slots comparisons: 100 ms for 1,000 windows of one job, against 6 ms by the array slot_of).
 */
const CLAIM: Statement = {
  name: 'claim',
  text: `
  with picked as materialized (
    select w.ord, p.*, w.slot_offset + row_number() over (partition by w.ord order by p.priority desc, p."position") as place
      from unnest($1::int4[], $2::int4[], $3::int4[], $4::int4[], $5::int4[]) with ordinality
             as w (queue_id, jobs, level_first, level_last, slot_offset, ord)
     cross join lateral (select 1 from skiplease.queue q where q.id = w.queue_id and not q.paused offset 0) unpaused
     cross join lateral (
       select r.* from generate_series(w.level_first, w.level_last) as g (i)
        cross join lateral (
          select r.ctid as tid, r."position", r.job_id, r.since, r.bytes, r.priority, r.attempt, r.again
            from skiplease.ready r
           where r.queue_id = w.queue_id and r.priority = ($6::int2[])[g.i] and r."position" > ($7::int8[])[g.i]
           order by r."position" limit w.jobs for update skip locked
        ) r
        limit w.jobs
     ) p
  ),
  placed as materialized (
    select p.*, ($8::int4[])[p.place] as slot,
           sum(p.bytes) over (partition by ($8::int4[])[p.place] order by p.place) as running
      from picked p
  ),
  cut as materialized (
    select p.*, p.running <= ($9::int8[])[p.slot] or (p.running = p.bytes and ($10::int4[])[p.slot] = 1) as taken from placed p
  ),
  deleted as (
    delete from skiplease.ready where ctid = any(array(select tid from cut where taken))
  ),
  clock as materialized (select skiplease.now() as now),
  leased as materialized (
    select g.*, nextval('skiplease.lease_id') as id
      from (
        select x.slot, x.ord, array_agg(x.job_id) as job_ids, array_agg(x.attempt) as attempts, array_agg(x.priority) as priorities,
               array_agg(x.bytes) as bytes, array_agg(x.waited_ms) as waited_ms, string_agg(x.type, ',') as types,
               string_agg(coalesce(x.content_type, ''), E'\\n') as content_types,
               string_agg(x.payload, '') as payloads, array_agg(octet_length(x.payload)) as payload_bytes,
               json_object_agg(x.place - x.slot_place, json_build_array(x.max_attempts, x.timeout_ms, x.headers, encode(x.checkpoint, 'base64')))
                 filter (where x.has_extras) as extras
          from (
            select c.*, j.*, k.checkpoint, (date_part('epoch', clock.now - c.since) * 1000)::int8 as waited_ms, ($14::int4[])[c.slot] as slot_place,
                   j.max_attempts is not null or j.timeout_ms is not null or j.headers is not null or k.checkpoint is not null as has_extras
              from cut c
             cross join clock
             cross join lateral (select type, payload, content_type, max_attempts, timeout_ms, headers
                                   from skiplease.job where id = c.job_id offset 0) j
              left join lateral (select checkpoint from skiplease.progress p where p.job_id = c.job_id and c.again offset 0) k on true
             where c.taken
             order by c.slot, c.place
          ) x
         group by x.slot, x.ord
      ) g
  ),
  granted as (
    insert into skiplease.lease (id, secret, queue_id, coordinator_id, session_id, granted_at, job_ids, attempts, priorities, settled)
    select l.id, ($11::int8[])[l.slot], ($1::int4[])[l.ord], $13::uuid, ($12::uuid[])[l.slot], clock.now,
           l.job_ids, l.attempts, l.priorities, repeat('0', cardinality(l.job_ids))::varbit
      from leased l, clock
  ),
  level as (
    select ord, priority, max("position") filter (where taken) as taken, min("position") filter (where not taken) as shut_out, count(*) as found
      from cut group by ord, priority
  )
  select (select json_agg(json_build_array(ord, priority, taken::text, shut_out::text, found)) from level),
         l.slot, l.id, l.job_ids, l.attempts, l.priorities, l.bytes, l.waited_ms, l.types, l.content_types, l.payloads, l.payload_bytes, l.extras
    from (select 1) one left join leased l on true`,
};

export async function claim(connection: HotConnection, coordinatorId: string, queues: ClaimQueue[]): Promise<ClaimResult> {
  const levels = queues.flatMap((queue) => queue.levels);
  const slots = queues.flatMap((queue) => queue.slots);
  const wanted = queues.map((queue) => queue.slots.reduce((sum, slot) => sum + slot.jobs, 0));
  const levelFirst: number[] = [];
  const levelLast: number[] = [];
  const slotOffset: number[] = [];
  const slotOf: number[] = [];
  let levelCount = 0;
  let slotCount = 0;
  for (const queue of queues) {
    levelFirst.push(levelCount + 1);
    levelCount += queue.levels.length;
    levelLast.push(levelCount);
    slotOffset.push(slotOf.length);
    for (const slot of queue.slots) {
      slotCount += 1;
      for (let job = 0; job < slot.jobs; job += 1) {
        slotOf.push(slotCount);
      }
    }
  }
  const rows = await connection.run(CLAIM, [
    int4Array(queues.map(({ queueId }) => queueId)),
    int4Array(wanted),
    int4Array(levelFirst),
    int4Array(levelLast),
    int4Array(slotOffset),
    int2Array(levels.map(({ priority }) => priority)),
    int8Array(levels.map(({ mark }) => mark)),
    int4Array(slotOf),
    int8Array(slots.map(({ bytes }) => bytes)),
    int4Array(slots.map(({ firstAtAnySize }) => (firstAtAnySize ? 1 : 0))),
    int8Array(slots.map(({ secret }) => secret)),
    uuidArray(slots.map(({ sessionId }) => sessionId)),
    coordinatorId,
    int4Array(slotPlaces(queues)),
  ]);
  return gather(queues, wanted, rows);
}

/** The place before each slot's first. */
function slotPlaces(queues: ClaimQueue[]): number[] {
  const places: number[] = [];
  let place = 0;
  for (const { slots } of queues) {
    for (const { jobs } of slots) {
      places.push(place + 1);
      place += jobs;
    }
  }
  return places;
}

function gather(queues: ClaimQueue[], wanted: number[], rows: Row[]): ClaimResult {
  const found = queues.map(() => 0);
  const marks = queues.map(() => new Map<number, bigint>());
  for (const [ord, priority, taken, shutOut, count] of levelsOf(rows[0]![0]!)) {
    found[ord - 1]! += count;
    // The mark stops before the first row that bytes shut out, so that the next claim finds it.
    if (shutOut !== null) {
      marks[ord - 1]!.set(priority, BigInt(shutOut) - 1n);
    } else if (taken !== null) {
      marks[ord - 1]!.set(priority, BigInt(taken));
    }
  }
  const flat: (ClaimedSlot | undefined)[] = [];
  for (const row of rows) {
    if (row[1] !== null) {
      flat[Number(row[1]) - 1] = { leaseId: BigInt(row[2]!), jobs: jobsOf(row) };
    }
  }
  let slot = 0;
  const slots = queues.map((queue) => queue.slots.map(() => flat[slot++]));
  return { slots, marks, short: queues.map((_, index) => found[index]! < wanted[index]!) };
}

/** Of each level: queue, priority, last position taken, first position shut out, rows found. */
function levelsOf(text: string | null): [number, number, string | null, string | null, number][] {
  return text === null ? [] : (JSON.parse(text) as [number, number, string | null, string | null, number][]);
}

/** What few jobs have, by place in the lease: max_attempts, timeout_ms, headers, checkpoint. */
type Extras = Record<number, [number | null, number | null, object | null, string | null]>;
const NO_EXTRAS: Extras = {};

/** One row holds a whole lease, column by column. (A row for each job took 2.9 µs of this process for each, this 1.9.) */
function jobsOf(row: Row): ClaimedJob[] {
  const ids = list(row[3]!);
  const attempts = list(row[4]!);
  const priorities = list(row[5]!);
  const bytes = list(row[6]!);
  const waited = list(row[7]!);
  const types = row[8]!.split(',');
  const contentTypes = row[9]!.split('\n');
  const payloads = bytea(row[10]!);
  const lengths = list(row[11]!);
  const extras = row[12] === null ? NO_EXTRAS : (JSON.parse(row[12]!) as Extras);
  let offset = 0;
  return ids.map((id, place) => {
    const start = offset;
    offset += Number(lengths[place]);
    const extra = extras[place];
    return {
      id,
      type: types[place]!,
      payload: payloads.subarray(start, offset),
      contentType: contentTypes[place] === '' ? null : contentTypes[place]!,
      attempt: Number(attempts[place]),
      maxAttempts: extra?.[0] ?? null,
      timeoutMs: extra?.[1] ?? null,
      headers: extra?.[2] == null ? null : JSON.stringify(extra[2]),
      checkpoint: extra?.[3] == null ? null : Buffer.from(extra[3], 'base64'),
      priority: Number(priorities[place]),
      bytes: Number(bytes[place]),
      waitedMs: Number(waited[place]),
    };
  });
}

/** The elements of PostgreSQL's text form of an array of numbers or UUIDs. */
function list(text: string): string[] {
  return text.slice(1, -1).split(',');
}

/** PostgreSQL's text form of bytea: \x and hex digits. */
export function bytea(text: string): Buffer {
  return Buffer.from(text.slice(2), 'hex');
}
