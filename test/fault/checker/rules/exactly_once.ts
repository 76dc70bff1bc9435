import { eventsOf, type JobFacts } from '../facts.ts';
import { SUCCEEDED } from '../rows.ts';
import type { Rule } from '../violation.ts';

/** Types whose handlers write an entry in the transaction that completes the job. */
const PAYING = new Set(['pay', 'payMany']);

export const exactlyOnce: Rule = {
  name: 'exactly once',
  holds: 'a payment is in the ledger exactly once if its job SUCCEEDED, under that very lease, and not at all otherwise; so is the child of a parent; an order and its job are both there, or neither',
  *check({ jobs, rows }) {
    const children = Map.groupBy(jobs.values(), ({ row }) => row?.parentId ?? undefined);
    const orders = new Set(rows.orders.map(({ id }) => id));
    for (const { id, row, outcome, ledger, told } of jobs.values()) {
      if (row !== undefined && PAYING.has(row.type)) yield* onceWithSuccess(id, 'ledger entries', ledger.map(({ leaseId }) => leaseId), outcome);
      if (row?.wantsChild) yield* onceWithSuccess(id, 'children', (children.get(id) ?? []).map((child) => child.row!.parentLeaseId), outcome);
      const order = eventsOf(told, 'order')[0];
      if (order === undefined) continue;
      if ((row !== undefined) !== orders.has(id)) yield { jobId: id, what: row === undefined ? 'has an order, and no job' : 'has a job, and no order' };
      if (row !== undefined && order.end === 'rollback') yield { jobId: id, what: 'was rolled back, and is there' };
    }
  },
};

function* onceWithSuccess(jobId: string, what: string, leaseIds: (string | null)[], outcome: JobFacts['outcome']) {
  const expected = outcome?.state === SUCCEEDED ? [outcome.leaseId] : [];
  if (JSON.stringify(leaseIds) !== JSON.stringify(expected)) {
    yield { jobId, what: `has ${what} of leases ${JSON.stringify(leaseIds)}, and not of ${JSON.stringify(expected)}` };
  }
}
