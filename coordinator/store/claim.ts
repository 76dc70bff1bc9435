import { int2Array, int4Array, int8Array, uuidArray } from './binary.ts';
import type { HotConnection, Statement } from './hot_connection.ts';

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
  granted as (
    insert into skiplease.lease (id, secret, queue_id, coordinator_id, session_id, granted_at, job_ids, attempts, priorities, settled)
    select nextval('skiplease.lease_id'), ($11::int8[])[g.slot], ($1::int4[])[g.ord], $13::uuid, ($12::uuid[])[g.slot], clock.now,
           g.job_ids, g.attempts, g.priorities, repeat('0', cardinality(g.job_ids))::varbit
      from (select slot, ord, array_agg(job_id order by place) as job_ids, array_agg(attempt order by place) as attempts,
                   array_agg(priority order by place) as priorities
              from cut where taken group by slot, ord) g, clock
    returning id, secret
  )
  select c.ord, c.slot, c.priority, c."position", c.taken, c.job_id, c.attempt, c.bytes,
         (date_part('epoch', clock.now - c.since) * 1000)::int8,
         j.type, j.payload, j.content_type, j.max_attempts, j.timeout_ms, j.headers, k.checkpoint,
         case when row_number() over () = 1 then (select string_agg(id || ':' || secret, ',') from granted) end
    from cut c
   cross join clock
    left join lateral (select type, payload, content_type, max_attempts, timeout_ms, headers
                         from skiplease.job where id = c.job_id and c.taken offset 0) j on true
    left join lateral (select checkpoint from skiplease.progress p where p.job_id = c.job_id and c.again offset 0) k on true
   order by c.place`,
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
  ]);
  return gather(queues, wanted, rows);
}

function gather(queues: ClaimQueue[], wanted: number[], rows: (string | null)[][]): ClaimResult {
  const flat: (ClaimedSlot | undefined)[] = [];
  const found = queues.map(() => 0);
  const marks = queues.map(() => new Map<number, bigint>());
  const held = queues.map(() => new Set<number>());
  for (const row of rows) {
    const queue = Number(row[0]) - 1;
    const priority = Number(row[2]);
    found[queue]! += 1;
    // The mark stops before the first row that bytes shut out, so that the next claim finds it.
    if (row[4] !== 't') {
      held[queue]!.add(priority);
      continue;
    }
    if (!held[queue]!.has(priority)) {
      marks[queue]!.set(priority, BigInt(row[3]!));
    }
    const slot = Number(row[1]) - 1;
    (flat[slot] ??= { leaseId: 0n, jobs: [] }).jobs.push(job(row));
  }
  const leaseIds = new Map<string, string>();
  for (const pair of rows[0]?.[16]?.split(',') ?? rows.find((row) => row[16] !== null)?.[16]?.split(',') ?? []) {
    const [id, secret] = pair.split(':');
    leaseIds.set(secret!, id!);
  }
  let slot = 0;
  const slots = queues.map((queue) =>
    queue.slots.map(({ secret }) => {
      const claimed = flat[slot];
      slot += 1;
      return claimed === undefined ? undefined : { leaseId: BigInt(leaseIds.get(secret.toString())!), jobs: claimed.jobs };
    }),
  );
  return { slots, marks, short: queues.map((_, index) => found[index]! < wanted[index]! && held[index]!.size === 0) };
}

function job(row: (string | null)[]): ClaimedJob {
  return {
    id: row[5]!,
    attempt: Number(row[6]),
    bytes: Number(row[7]),
    waitedMs: Number(row[8]),
    priority: Number(row[2]),
    type: row[9]!,
    payload: bytea(row[10]!),
    contentType: row[11]!,
    maxAttempts: row[12] === null ? null : Number(row[12]),
    timeoutMs: row[13] === null ? null : Number(row[13]),
    headers: row[14]!,
    checkpoint: row[15] === null ? null : bytea(row[15]!),
  };
}

/** PostgreSQL's text form of bytea: \x and hex digits. */
export function bytea(text: string): Buffer {
  return Buffer.from(text.slice(2), 'hex');
}
