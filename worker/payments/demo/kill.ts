/** Kills a worker that holds leases, and tells afterwards what became of the jobs that it left. */
import { setTimeout as delay } from 'node:timers/promises';
import type pg from 'pg';
import type { DemoWorker, Fleet } from './fleet.ts';
import type { Operator } from './operator.ts';

/** Says why no worker could be killed while it held a lease. */
export class NoLeaseHeldError extends Error {}

/** How long workers are stopped at most while somebody looks: they must not lose their leases over it (the TTL is 2 s). */
const lookDeadlineMs = 900;
const lookIntervalMs = 30;

export interface Kill {
  worker: DemoWorker;
  /** What it held when it died, by the coordinator's word. */
  leases: { leaseId: string; jobIds: string[] }[];
  jobIds: string[];
}

type Leases = Kill['leases'];

async function leasesOf(operator: Operator, worker: DemoWorker): Promise<Leases> {
  const leases = await operator.leasesOf(worker.id);
  return leases.map(({ leaseId, jobIds }) => ({ leaseId: String(leaseId), jobIds }));
}

/**
 * Stops all workers for a moment (SIGSTOP), so that what ListLeases shows is still so when the kill comes; kills one that
 * holds a lease (SIGKILL), and lets the others go on. Throws NoLeaseHeldError.
 */
export async function killLeaseHolder(fleet: Fleet, operator: Operator, started: () => void = () => {}): Promise<Kill> {
  for (const { child } of fleet.workers) child.signal('SIGSTOP');
  try {
    started();
    const deadline = performance.now() + lookDeadlineMs;
    let before = '';
    do {
      const holders = await Promise.all(fleet.workers.map(async (worker) => ({ worker, leases: await leasesOf(operator, worker) })));
      // Reports sent just before the stop may still be committed: two looks must agree.
      const now = JSON.stringify(holders.map(({ leases }) => leases));
      const [holder] = holders.filter(({ leases }) => leases.length > 0).toSorted((a, b) => b.leases.length - a.leases.length);
      if (holder !== undefined && now === before) {
        await fleet.kill(holder.worker);
        return { ...holder, jobIds: holder.leases.flatMap(({ jobIds }) => jobIds) };
      }
      before = now;
      await delay(lookIntervalMs);
    } while (performance.now() < deadline);
  } finally {
    for (const { child } of fleet.workers) child.signal('SIGCONT');
  }
  throw new NoLeaseHeldError('At the moment of the kill no worker held a lease, so nothing could be shown.');
}

/** What became of one job that the dead worker left. */
export interface Redelivery {
  jobId: string;
  reference: string;
  line: number;
  /** The attempt that ended it; 1: it came back unstarted, and cost none. Null: it has not ended. */
  attempt: number | null;
  /** Who ended it. */
  worker: string | null;
  outcome: string | null;
  /** The dead worker captured it: in the transaction that completed the job, which it could not report any more. */
  capturedBefore: boolean;
}

const redeliveryQuery = `
  select j.id as "jobId", p.payload ->> 'reference' as reference, (p.payload ->> 'line')::integer as line, o.attempt,
    coalesce(r.result ->> 'worker', a.worker_id) as worker, coalesce(r.result ->> 'outcome', a.error_code) as outcome,
    coalesce(i.worker_id = $2, false) as "capturedBefore"
  from unnest($1::uuid[]) l (id)
  join skiplease.job j on j.id = l.id
  cross join lateral (select convert_from(j.payload, 'UTF8')::json as payload offset 0) p
  left join skiplease.outcome o on o.job_id = j.id
  cross join lateral (select convert_from(o.result, 'UTF8')::json as result offset 0) r
  left join skiplease.attempt a on a.job_id = j.id and a.number = o.attempt
  left join ledger.intent i on i.job_id = j.id
  order by line, j.id`;

export async function readRedeliveries(client: pg.ClientBase, kill: Kill): Promise<Redelivery[]> {
  const { rows } = await client.query<Redelivery>(redeliveryQuery, [kill.jobIds, kill.worker.id]);
  return rows;
}
