import type { Facts, JobFacts } from '../facts.ts';
import { CANCELLED, FAILED, SUCCEEDED } from '../rows.ts';
import { CLOCKS_APART_MS, type Rule, type Violation } from '../violation.ts';

type Found = Iterable<Omit<Violation, 'rule'>>;

export const inTime: Rule = {
  name: 'in time',
  holds: 'nothing runs before its time, nor before what it waits for is final; what waits for a job that did not succeed is cancelled, or runs, as it asked; batches count right and their follow-ups come once',
  *check(facts) {
    for (const job of facts.jobs.values()) {
      const { id, row, holds } = job;
      if (row?.runAt != null && holds[0] !== undefined && holds[0].from < row.runAt - CLOCKS_APART_MS) yield { jobId: id, what: 'was leased before its time' };
      if (row !== undefined) yield* wrongAfterOthers(job, facts);
    }
    yield* wrongBatches(facts);
  },
};

function* wrongAfterOthers({ id, row, holds, outcome }: JobFacts, { jobs }: Facts): Found {
  for (const awaitedId of row!.afterJobIds) {
    const awaited = jobs.get(awaitedId)?.outcome;
    const first = holds[0];
    if (first !== undefined && (awaited === undefined || first.from < awaited.finishedAt)) yield { jobId: id, what: `was leased before job ${awaitedId} was final` };
    if (awaited === undefined || row!.runAnyway || awaited.state === SUCCEEDED) continue;
    if (outcome !== undefined && (outcome.state !== CANCELLED || first !== undefined)) yield { jobId: id, what: `ran although job ${awaitedId} did not succeed` };
  }
}

function* wrongBatches({ jobs, rows }: Facts): Found {
  const members = Map.groupBy(jobs.values(), ({ row }) => row?.batchId);
  for (const { id, finished, total, succeeded, failed, cancelled, followUpId } of rows.batch) {
    const of = members.get(id) ?? [];
    const count = (state: number): number => of.filter(({ outcome }) => outcome?.state === state).length;
    const counted = [total, succeeded, failed, cancelled];
    const expected = [of.length, count(SUCCEEDED), count(FAILED), count(CANCELLED)];
    if (finished && counted.join() !== expected.join()) yield { jobId: undefined, what: `batch ${id} counts ${counted.join(', ')} (total, succeeded, failed, cancelled) instead of ${expected.join(', ')}` };
    if (followUpId !== null && (jobs.get(followUpId)?.row !== undefined) !== finished) {
      yield { jobId: followUpId, what: `is the follow-up of batch ${id}, which is ${finished ? '' : 'not '}finished` };
    }
  }
}
