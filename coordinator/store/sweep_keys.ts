import type { HotConnection, Statement } from './hot_connection.ts';

/** Keys that one statement looks at. */
const LOOK_MAX = 1_000;

/** Where a sweep goes on: the last key that was looked at. */
export interface KeyPlace {
  queueId: number;
  type: string;
  key: string;
}

const SWEEP: Statement = {
  name: 'sweep_keys',
  text: `
  with looked as materialized (
    select queue_id, type, key from skiplease.unique_key
     where (queue_id, type, key) > ($1::int4, $2::text, $3::text) order by queue_id, type, key limit ${LOOK_MAX}
  ),
  -- Whoever takes a key has locked its row: those are left out.
  free as materialized (
    select u.ctid as tid from looked l join skiplease.unique_key u on u.queue_id = l.queue_id and u.type = l.type and u.key = l.key
     where u.job_id is null
        or case when u.expires_at is null
                then exists (select from skiplease.outcome o where o.job_id = u.job_id)
                     or not exists (select from skiplease.job j where j.id = u.job_id)
                else u.expires_at <= skiplease.now() end
       for update of u skip locked
  ),
  gone as (delete from skiplease.unique_key where ctid = any(array(select tid from free)) returning 1)
  select l.queue_id, l.type, l.key, (select count(*) from looked), (select count(*) from gone)
    from looked l order by l.queue_id desc, l.type desc, l.key desc limit 1`,
};

/** Deletes the rows of free keys among the next ones. `next`: where to go on; undefined: that was the end. */
export async function sweepKeys(connection: HotConnection, after: KeyPlace | undefined): Promise<{ next: KeyPlace | undefined; deleted: number }> {
  const [row] = await connection.run(SWEEP, after === undefined ? [-1, '', ''] : [after.queueId, after.type, after.key]);
  if (row === undefined) {
    return { next: undefined, deleted: 0 };
  }
  const next = Number(row[3]) < LOOK_MAX ? undefined : { queueId: Number(row[0]), type: row[1]!, key: row[2]! };
  return { next, deleted: Number(row[4]) };
}
