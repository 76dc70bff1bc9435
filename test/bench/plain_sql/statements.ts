import type pg from 'pg';
import { byteaArray, uuidArray } from '../../../coordinator/store/binary.ts';
import { POSITIONS_OF_A_DRAW } from '../../../coordinator/limits.ts';

/** What a hot connection leaves the planner no choice of: with empty or stale statistics it would scan whole tables. */
export const CONNECTION_OPTIONS = ['enable_seqscan', 'enable_hashjoin', 'enable_mergejoin', 'enable_bitmapscan', 'jit']
  .map((name) => `-c ${name}=off`)
  .join(' ');

const INSERT = {
  name: 'insert',
  text: `
  with input as materialized (
    select id, payload, block * ${POSITIONS_OF_A_DRAW} + ordinal as "position"
      from unnest($1::uuid[], $2::bytea[]) with ordinality as t (id, payload, ordinal),
           (select nextval('skiplease.position') as block) b
  ),
  inserted as (
    insert into skiplease.job (id, "position", queue_id, priority, type, payload)
    select id, "position", $3::int4, 0, $4::text, payload from input
    returning id, "position", payload
  )
  insert into skiplease.ready ("position", job_id, since, queue_id, bytes, priority, attempt, again)
  select "position", id, clock_timestamp(), $3::int4, 384 + octet_length(payload), 0, 1, false from inserted`,
};

/** One statement, one commit: so many jobs into job and ready. */
export async function insert(client: pg.Client, queueId: number, type: string, jobs: { ids: string[]; payloads: Buffer[] }): Promise<void> {
  await client.query({ ...INSERT, values: [uuidArray(jobs.ids), byteaArray(jobs.payloads), queueId, type] });
}

const CLAIM = {
  name: 'claim',
  rowMode: 'array' as const,
  text: `
  with picked as materialized (
    select ctid, "position", job_id from skiplease.ready
     where queue_id = $1::int4 and priority = 0 and "position" > $2::int8
     order by "position" limit $3 for update skip locked
  ),
  removed as (
    -- By place, which is fast on any statistics: a join took 440 µs of CPU a job while they said that ready is empty.
    delete from skiplease.ready where ctid = any(array(select ctid from picked))
  ),
  granted as (
    insert into skiplease.lease (id, secret, queue_id, coordinator_id, session_id, granted_at, job_ids, attempts, priorities, settled)
    select nextval('skiplease.lease_id'), 0, $1::int4, $4::uuid, $4::uuid, clock_timestamp(), array_agg(job_id order by "position"),
           array_fill(1::int2, array[count(*)::int]), array_fill(0::int2, array[count(*)::int]), repeat('0', count(*)::int)::varbit
      from picked having count(*) > 0
    returning id
  )
  select (select id from granted), p."position", p.job_id, j.payload
    from picked p cross join lateral (select payload from skiplease.job where id = p.job_id offset 0) j
   order by p."position"`,
};

export interface Claimed {
  leaseId: string;
  lastPosition: string;
  ids: string[];
  payloads: Buffer[];
}

/** One statement, one commit: the next jobs out of ready and into a lease, with their payloads. */
export async function claim(
  client: pg.Client,
  options: { queueId: number; after: string; jobs: number; holder: string },
): Promise<Claimed | undefined> {
  const { queueId, after, jobs, holder } = options;
  const { rows } = await client.query<[string, string, string, Buffer]>({ ...CLAIM, values: [queueId, after, jobs, holder] });
  if (rows.length === 0) return undefined;
  return {
    leaseId: rows[0]![0],
    lastPosition: rows.at(-1)![1],
    ids: rows.map((row) => row[2]),
    payloads: rows.map((row) => row[3]),
  };
}

const COMPLETE = {
  name: 'complete',
  text: `
  with released as (delete from skiplease.lease where id = $2::int8)
  insert into skiplease.outcome (job_id, lease_id, finished_at, state, attempt)
  select job_id, $2::int8, clock_timestamp(), 4, 1 from unnest($1::uuid[]) as t (job_id)`,
};

/** One statement, one commit: an outcome for each job, and the lease's end. Answers how many outcomes were written. */
export async function complete(client: pg.Client, { ids, leaseId }: Claimed): Promise<number> {
  const { rowCount } = await client.query({ ...COMPLETE, values: [uuidArray(ids), leaseId] });
  return rowCount ?? 0;
}
