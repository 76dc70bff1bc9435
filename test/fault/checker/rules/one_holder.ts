import { eventsOf, type Hold, type JobFacts } from '../facts.ts';
import type { Rule } from '../violation.ts';

export const oneHolder: Rule = {
  name: 'one holder',
  holds: 'at most one lease holds a job at a time; leases only grow; an attempt is spent by a failure or an expiry, and by nothing else; a lease goes to one worker',
  *check({ jobs, told, grants }) {
    for (const job of jobs.values()) {
      for (let index = 0; index < job.holds.length; index += 1) {
        const what = wrongAfter(job, job.holds[index - 1], job.holds[index]!);
        if (what !== undefined) yield { jobId: job.id, what };
      }
      for (const { number, leaseId } of job.attempts) {
        if (!job.holds.some((hold) => hold.grant.leaseId === leaseId && hold.attempt === number)) {
          yield { jobId: job.id, what: `has attempt ${number} under lease ${leaseId}, which never held it so` };
        }
      }
    }
    const receivers = new Map<string, string>();
    for (const { token, by, stream, jobs: leased } of eventsOf(told, 'lease')) {
      const grant = grants.get(token.slice(0, token.indexOf('.')));
      const jobId = leased[0]?.[0];
      if (grant?.token !== token) {
        yield { jobId, what: `${by} received the lease ${token}, which was never granted` };
      } else if (leased.some(([id, attempt]) => grant.attempts[grant.jobIds.indexOf(id)] !== attempt)) {
        yield { jobId, what: `${by} received the lease ${token} with other jobs or attempts than were granted` };
      }
      const receiver = `${by} stream ${stream}`;
      if (receivers.has(token)) yield { jobId, what: `the lease ${token} went to ${receivers.get(token)} and to ${receiver}` };
      receivers.set(token, receiver);
    }
  },
};

function wrongAfter({ attempts }: JobFacts, before: Hold | undefined, hold: Hold): string | undefined {
  const { grant: { leaseId }, attempt, from } = hold;
  if (before === undefined) return attempt === 1 ? undefined : `was first leased as attempt ${attempt}`;
  if (before.until > from) return `was leased under ${leaseId} while lease ${before.grant.leaseId} held it`;
  if (BigInt(leaseId) <= BigInt(before.grant.leaseId)) return `was leased under ${leaseId} after lease ${before.grant.leaseId}`;
  const spent = attempts.some(({ number, leaseId: of }) => number === before.attempt && of === before.grant.leaseId);
  const expected = spent ? before.attempt + 1 : before.attempt;
  return attempt === expected ? undefined : `was leased under ${leaseId} as attempt ${attempt}, and not ${expected}`;
}
