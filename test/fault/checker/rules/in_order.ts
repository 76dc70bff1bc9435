import { eventsOf, type JobFacts } from '../facts.ts';
import type { Rule } from '../violation.ts';

export const inOrder: Rule = {
  name: 'in order',
  holds: 'jobs of a serial key run one at a time, each after the end of all that were submitted before it',
  *check({ jobs }) {
    for (const [key, line] of Map.groupBy(jobs.values(), ({ row }) => row?.serialKey)) {
      if (key == null) continue;
      // Submitted one after the other, each once the one before it was accepted.
      const submittedAt = new Map(line.map((job) => [job, eventsOf(job.told, 'submit')[0]?.at ?? 0]));
      let earlier: JobFacts | undefined;
      for (const job of line.sort((a, b) => submittedAt.get(a)! - submittedAt.get(b)!)) {
        const first = job.holds[0];
        const end = earlier === undefined ? -Infinity : endOf(earlier);
        if (first !== undefined && first.from < end) {
          yield { jobId: job.id, what: `was leased (${first.grant.leaseId}) before job ${earlier!.id}, which was before it in the line of '${key}', had ended` };
        }
        if (endOf(job) > end) earlier = job;
      }
    }
  },
};

function endOf({ outcome }: JobFacts): number {
  return outcome?.finishedAt ?? Infinity;
}
