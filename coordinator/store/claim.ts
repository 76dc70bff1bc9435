import { POSITIONS_OF_A_DRAW } from '../limits.ts';
import { int2Array, int4Array, int8Array, uuidArray } from './binary.ts';
import type { Row, Statement } from './hot_connection.ts';
import type { LentJobs } from './recent_jobs.ts';

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
  payload: Uint8Array;
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

/** Jobs whose end concerns others, by id: the batch that counts it, where that is all; null: more depends on it. */
export type Specials = ReadonlyMap<string, string | null>;

/** What came of one slot: nothing, or a lease with its jobs in claim order. */
export interface ClaimedSlot {
  leaseId: bigint;
  jobs: ClaimedJob[];
  /** Those whose end concerns others; undefined: none. */
  specials: Specials | undefined;
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
 * Claims for all sessions at once: per queue a walk down its priorities from their marks, as far as the slots need. What
 * a walk found becomes a few arrays (`heap`), and a slot is a slice of them, ended early where its bytes are full. What
 * the bytes shut out stays where it is: locked for the length of the statement, not deleted.
 *
 * Of jobs that this coordinator committed itself moments ago ($15: their draws of positions) nothing is read again.
 *
 * The nested LIMITs stop the walk early: a lower priority is not touched while a higher one suffices. Rows come in claim
 * order from the nested loops, and nothing after them sorts.
 * Tried instead: one claim per priority, asked from JavaScript (as many round trips as levels); a join of picked rows with
 * slots by range (rows × slots comparisons: 100 ms for 1,000 windows of one job); windows over rows that were numbered and
 * sorted by slot (twice the CPU time of this).
 */
const claimText = ({ limited }: { limited: boolean }): string => `
  with clock as materialized (select skiplease.now() as now),
  heap as materialized (
    select ord, count(*)::int4 as found, array_agg(tid) as tids, array_agg("position") as positions, array_agg(job_id) as job_ids,
           array_agg(attempt) as attempts, array_agg(priority) as priorities, array_agg(bytes) as bytes, array_agg(again) as again,
           array_agg(waited_ms) as waited_ms, array_agg(running) as running, array_agg(special) as specials
      from (
        select w.ord, p.*, sum(p.bytes) over (partition by w.ord rows unbounded preceding) as running,
               (date_part('epoch', (select now from clock) - p.since) * 1000)::int8 as waited_ms
          from unnest($1::int4[], $2::int4[], $3::int4[], $4::int4[]) with ordinality as w (queue_id, jobs, level_first, level_last, ord)
         cross join lateral (select 1 from skiplease.queue q where q.id = w.queue_id and not q.paused${limited ? '' : ' and not q.limited'} offset 0) open
         cross join lateral (
           select r.* from generate_series(w.level_first, w.level_last) as g (i)
            cross join lateral (
              select r.ctid as tid, r."position", r.job_id, r.since, r.bytes, r.priority, r.attempt, r.again, r.special
                from skiplease.ready r
               where r.queue_id = w.queue_id and r.priority = ($5::int2[])[g.i] and r."position" > ($6::int8[])[g.i]
               order by r."position" limit w.jobs for update skip locked
            ) r
            limit w.jobs
         ) p
      ) picked
     group by ord
  ),
  cut as materialized (
    select s.slot, s.ord, s.first, h.found, least(s.last, h.found) as full_last,
           case when h.running[least(s.last, h.found)] - e.before <= s.bytes then least(s.last, h.found)
                else greatest(case s.any_size when 1 then s.first end,
                              (select max(i) from generate_series(s.first, least(s.last, h.found)) i where h.running[i] - e.before <= s.bytes),
                              s.first - 1)
           end as last
      from unnest($7::int4[], $8::int4[], $9::int4[], $10::int8[], $11::int4[]) with ordinality
             as s (ord, first, last, bytes, any_size, slot)
      join heap h on h.ord = s.ord and s.first <= h.found
     cross join lateral (select coalesce(h.running[s.first - 1], 0) as before) e
  ),
  slice as materialized (
    select c.*, case when c.last >= c.first then nextval('skiplease.lease_id') end as id from cut c
  ),
  deleted as (
    delete from skiplease.ready where ctid = any(array(select unnest(h.tids[s.first:s.last]) from slice s join heap h on h.ord = s.ord))
  ),
  granted as (
    insert into skiplease.lease (id, secret, queue_id, coordinator_id, session_id, granted_at, job_ids, attempts, priorities, settled, special${limited ? ', limited' : ''})
    select s.id, ($12::int8[])[s.slot], ($1::int4[])[s.ord], $13::uuid, ($14::uuid[])[s.slot], clock.now, h.job_ids[s.first:s.last],
           h.attempts[s.first:s.last], h.priorities[s.first:s.last], repeat('0', s.last - s.first + 1)::varbit,
           true = any(h.specials[s.first:s.last])${limited ? ', true' : ''}
      from slice s join heap h on h.ord = s.ord cross join clock where s.id is not null
  )${limited ? STARTED : ''}
  select s.slot, s.found, h.positions[s.last + 1:s.full_last], h.priorities[s.last + 1:s.full_last],
         s.id, h.job_ids[s.first:s.last], h.positions[s.first:s.last], h.attempts[s.first:s.last], h.priorities[s.first:s.last],
         h.bytes[s.first:s.last], h.waited_ms[s.first:s.last], f.*
    from slice s
    join heap h on h.ord = s.ord
    left join lateral (
      select array_agg(u.place) as places, string_agg(j.type, ',') as types,
             string_agg(coalesce(j.content_type, ''), E'\\n') as content_types,
             string_agg(j.payload, '') as payloads, array_agg(octet_length(j.payload)) as payload_bytes,
             json_object_agg(u.place, json_build_array(j.max_attempts, j.timeout_ms, j.headers, encode(k.checkpoint, 'base64')))
               filter (where j.max_attempts is not null or j.timeout_ms is not null or j.headers is not null or k.checkpoint is not null) as extras,
             json_object_agg(u.job_id, case when skiplease.is_only_counted(j.options) then j.options->>'batchId' end)
               filter (where skiplease.is_special(j.options)) as specials
        from unnest(h.job_ids[s.first:s.last], h.positions[s.first:s.last], h.again[s.first:s.last]) with ordinality as u (job_id, "position", again, place)
       cross join lateral (select type, payload, content_type, max_attempts, timeout_ms, headers, options from skiplease.job
                            where id = u.job_id and u."position" / ${POSITIONS_OF_A_DRAW} <> all($15::int8[]) offset 0) j
        left join lateral (select checkpoint from skiplease.progress p where p.job_id = u.job_id and u.again offset 0) k on true
    ) f on true`;

/** Those of the jobs that owe the bucket of their key a token have started: 0006_gates.sql. */
const STARTED = `,
  started as (
    update skiplease.gate_holder set started_at = (select now from clock)
     where owes and kind = 3 and job_id = any(array(
       select unnest(h.job_ids[s.first:s.last]) from slice s join heap h on h.ord = s.ord where s.id is not null and true = any(h.specials[s.first:s.last])))
  )`;

/** Takes nothing of a queue that is limited. (Looking at that beside `paused` is free: 4.57 and 4.60 ms for 500 jobs without it and with it.) */
export const CLAIM: Statement = { name: 'claim', text: claimText({ limited: false }) };

/** Takes what it is asked for: claim_limited.ts asks for no more than may start. Its leases count. */
export const CLAIM_LIMITED: Statement = { name: 'claim_limited', text: claimText({ limited: true }) };

/** Parameters of CLAIM. */
export const CLAIM_PARAMETERS = 15;

/** `run`: one of the two statements, on a connection or in a transaction. */
export async function claim(run: (values: unknown[]) => Promise<Row[]>, coordinatorId: string, queues: ClaimQueue[], lent: LentJobs): Promise<ClaimResult> {
  const levels = queues.flatMap((queue) => queue.levels);
  const slots = queues.flatMap((queue, index) => places(queue.slots).map((place) => ({ ord: index + 1, ...place })));
  const wanted = queues.map((queue) => queue.slots.reduce((sum, slot) => sum + slot.jobs, 0));
  const levelLast: number[] = [];
  queues.forEach((queue, index) => levelLast.push((levelLast[index - 1] ?? 0) + queue.levels.length));
  const rows = await run([
    int4Array(queues.map(({ queueId }) => queueId)),
    int4Array(wanted),
    int4Array(queues.map((queue, index) => levelLast[index]! - queue.levels.length + 1)),
    int4Array(levelLast),
    int2Array(levels.map(({ priority }) => priority)),
    int8Array(levels.map(({ mark }) => mark)),
    int4Array(slots.map(({ ord }) => ord)),
    int4Array(slots.map(({ first }) => first)),
    int4Array(slots.map(({ last }) => last)),
    int8Array(slots.map(({ slot }) => slot.bytes)),
    int4Array(slots.map(({ slot }) => (slot.firstAtAnySize ? 1 : 0))),
    int8Array(slots.map(({ slot }) => slot.secret)),
    coordinatorId,
    uuidArray(slots.map(({ slot }) => slot.sessionId)),
    int8Array(lent.draws),
  ]);
  return gather(queues, wanted, slots.map(({ ord }) => ord - 1), rows, lent);
}

/** Each slot with its first and last place, from 1, among what is wanted of its queue. */
function places(slots: ClaimSlot[]): { slot: ClaimSlot; first: number; last: number }[] {
  let last = 0;
  return slots.map((slot) => {
    const first = last + 1;
    last += slot.jobs;
    return { slot, first, last };
  });
}

function gather(queues: ClaimQueue[], wanted: number[], queueOf: number[], rows: Row[], lent: LentJobs): ClaimResult {
  const found = queues.map(() => 0);
  const marks = queues.map(() => new Map<number, bigint>());
  const shutOut = queues.map(() => new Map<number, bigint>());
  const flat: (ClaimedSlot | undefined)[] = [];
  for (const row of rows) {
    const slot = Number(row[0]) - 1;
    const queue = queueOf[slot]!;
    found[queue] = Number(row[1]);
    each(row[3]!, row[2]!, (priority, position) => {
      const first = shutOut[queue]!.get(priority);
      if (first === undefined || position < first) {
        shutOut[queue]!.set(priority, position);
      }
    });
    if (row[4] !== null) {
      const positions = list(row[6]!);
      const priorities = list(row[8]!);
      flat[slot] = { leaseId: BigInt(row[4]!), ...jobsOf(row, positions, priorities, lent) };
      taken(priorities, positions, marks[queue]!);
    }
  }
  // The mark stops before the first row that bytes shut out, so that the next claim finds it.
  shutOut.forEach((first, queue) => first.forEach((position, priority) => marks[queue]!.set(priority, position - 1n)));
  let slot = 0;
  const slots = queues.map((queue) => queue.slots.map(() => flat[slot++]));
  return { slots, marks, short: queues.map((_, index) => found[index]! < wanted[index]!) };
}

/** Calls `take` for each element of two arrays of numbers. */
function each(priorities: string, positions: string, take: (priority: number, position: bigint) => void): void {
  if (priorities !== '{}') {
    const of = list(positions);
    list(priorities).forEach((priority, index) => take(Number(priority), BigInt(of[index]!)));
  }
}

/** The last position of each priority: rows stand in claim order, so it is where the priority changes. */
function taken(priorities: readonly string[], positions: readonly string[], marks: Map<number, bigint>): void {
  priorities.forEach((priority, index) => {
    if (priorities[index + 1] !== priority) {
      marks.set(Number(priority), BigInt(positions[index]!));
    }
  });
}

/** What few jobs have, by place in the lease: max_attempts, timeout_ms, headers, checkpoint. */
type Extras = Record<number, [number | null, number | null, object | null, string | null]>;
const NO_EXTRAS: Extras = {};

/** What a job is, apart from its place in line. */
type Content = Pick<ClaimedJob, 'type' | 'payload' | 'contentType' | 'maxAttempts' | 'timeoutMs' | 'headers'> & { checkpoint?: Buffer | null };

/** One row holds a whole lease, column by column. (A row for each job took 2.9 µs of this process for each, this 1.9.) */
function jobsOf(
  row: Row, positions: readonly string[], priorities: readonly string[], lent: LentJobs,
): Pick<ClaimedSlot, 'jobs' | 'specials'> {
  const ids = list(row[5]!);
  const attempts = list(row[7]!);
  const bytes = list(row[9]!);
  const waited = list(row[10]!);
  const read = contentsOf(row);
  const specials = new Map<string, string | null>(row[17] === null ? [] : Object.entries(JSON.parse(row[17]!) as Record<string, string | null>));
  const jobs = ids.map((id, index) => {
    const written = lent.take(Number(positions[index]));
    if (written !== undefined && written.options !== null) {
      specials.set(id, written.options.batchId ?? null);
    }
    const job: Content | undefined = written ?? read[index];
    if (job === undefined) {
      throw new Error(`Job ${id} waits in skiplease.ready and does not exist in skiplease.job.`);
    }
    return {
      id,
      type: job.type,
      payload: job.payload,
      contentType: job.contentType,
      attempt: Number(attempts[index]),
      maxAttempts: job.maxAttempts,
      timeoutMs: job.timeoutMs,
      headers: job.headers,
      checkpoint: job.checkpoint ?? null,
      priority: Number(priorities[index]),
      bytes: Number(bytes[index]),
      waitedMs: Number(waited[index]),
    };
  });
  return { jobs, specials: specials.size === 0 ? undefined : specials };
}

/** By index in the lease, those that were read. */
function contentsOf(row: Row): (Content | undefined)[] {
  const contents: (Content | undefined)[] = [];
  if (row[11] === null) {
    return contents;
  }
  const types = row[12]!.split(',');
  const contentTypes = row[13]!.split('\n');
  const payloads = bytea(row[14]!);
  const lengths = list(row[15]!);
  const extras = row[16] === null ? NO_EXTRAS : (JSON.parse(row[16]!) as Extras);
  let offset = 0;
  list(row[11]!).forEach((place, index) => {
    const start = offset;
    offset += Number(lengths[index]);
    const extra = extras[Number(place)];
    contents[Number(place) - 1] = {
      type: types[index]!,
      payload: payloads.subarray(start, offset),
      contentType: contentTypes[index] === '' ? null : contentTypes[index]!,
      maxAttempts: extra?.[0] ?? null,
      timeoutMs: extra?.[1] ?? null,
      headers: extra?.[2] == null ? null : JSON.stringify(extra[2]),
      checkpoint: extra?.[3] == null ? null : Buffer.from(extra[3], 'base64'),
    };
  });
  return contents;
}

/** The elements of PostgreSQL's text form of an array of numbers or UUIDs. */
function list(text: string): string[] {
  return text.slice(1, -1).split(',');
}

/** PostgreSQL's text form of bytea: \x and hex digits. */
function bytea(text: string): Buffer {
  return Buffer.from(text.slice(2), 'hex');
}
