import { int8Array, uuidArray } from './binary.ts';
import { Bits } from '../bits.ts';
import type { HotConnection, Statement } from './hot_connection.ts';

const MASKS: Statement = {
  name: 'own_masks',
  text: `select id, settled from skiplease.lease where coordinator_id = $1::uuid`,
};

/** What is settled of each lease that stands in this coordinator's name. */
export async function ownMasks(connection: HotConnection, coordinatorId: string): Promise<Map<bigint, Bits>> {
  return new Map((await connection.run(MASKS, [coordinatorId])).map((row) => [BigInt(row[0]!), Bits.parse(row[1]!)]));
}

const CANCELLED: Statement = {
  name: 'cancelled_under',
  text: `select i.place, o.reason[2]
    from unnest($1::int8[], $2::uuid[]) with ordinality as i (lease_id, job_id, place)
   cross join lateral (select reason from skiplease.outcome where job_id = i.job_id and lease_id = i.lease_id and state = 6 offset 0) o`,
};

/** Which of these jobs were cancelled under these leases: by their places in the list, with the reason. */
export async function cancelledUnder(connection: HotConnection, held: { leaseId: bigint; jobId: string }[]): Promise<{ index: number; reason: string }[]> {
  const rows = await connection.run(CANCELLED, [int8Array(held.map(({ leaseId }) => leaseId)), uuidArray(held.map(({ jobId }) => jobId))]);
  return rows.map((row) => ({ index: Number(row[0]) - 1, reason: row[1] ?? '' }));
}
