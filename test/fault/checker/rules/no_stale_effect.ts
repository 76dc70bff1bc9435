import { eventsOf, leaseIdOf, type Facts } from '../facts.ts';
import { CANCELLED, SUCCEEDED } from '../rows.ts';
import { CLOCKS_APART_MS, type Rule, type Violation } from '../violation.ts';

type Found = Iterable<Omit<Violation, 'rule'>>;

export const noStaleEffect: Rule = {
  name: 'no stale effect',
  holds: 'what ended a job, or an attempt, held it at that moment; a result is that of the lease that is on record; only live leases are resumed, and none is called lost that lives',
  *check(facts) {
    yield* staleEnds(facts);
    yield* falseWelcomes(facts);
  },
};

function* staleEnds({ jobs }: Facts): Found {
  for (const { id, outcome, attempts, holds } of jobs.values()) {
    const last = holds.at(-1);
    if (outcome !== undefined && outcome.state !== CANCELLED && (last === undefined || last.grant.leaseId !== outcome.leaseId || last.attempt !== outcome.attempt)) {
      yield { jobId: id, what: `was ended by lease ${outcome.leaseId}, attempt ${outcome.attempt}; the last that held it is ${last?.grant.leaseId}, attempt ${last?.attempt}` };
    }
    if (outcome?.state === SUCCEEDED && outcome.resultLeaseId !== null && outcome.resultLeaseId !== outcome.leaseId) {
      yield { jobId: id, what: `was ended by lease ${outcome.leaseId} with the result of lease ${outcome.resultLeaseId}` };
    }
    for (const { number, leaseId, endedAt } of attempts) {
      const hold = holds.find(({ grant }) => grant.leaseId === leaseId);
      if (hold !== undefined && hold.until < endedAt - MOMENT_MS) yield { jobId: id, what: `attempt ${number} ended under lease ${leaseId} after that had let go of it` };
    }
  }
}

/** Rows of one transaction tell of moments that lie so far apart at most: one statement's time limit. */
const MOMENT_MS = 5_000;

function* falseWelcomes({ streams, jobs, grants }: Facts): Found {
  for (const { key, told } of streams.values()) {
    const hello = eventsOf(told, 'hello')[0];
    const welcome = eventsOf(told, 'welcome')[0];
    if (hello === undefined || welcome === undefined) continue;
    for (const [token, ids] of welcome.resumed) {
      if (grants.get(leaseIdOf(token))?.token !== token) yield { jobId: ids[0], what: `${key} resumed the lease ${token}, which was never granted` };
      if (!hello.held.includes(token)) yield { jobId: ids[0], what: `${key} resumed the lease ${token}, whose token it did not name` };
      for (const id of ids) {
        const { holds = [], outcome } = jobs.get(id) ?? {};
        const hold = holds.find(({ grant }) => grant.token === token);
        // What the worker has completed in SQL is not marked in the lease yet.
        if (hold !== undefined && hold.until < hello.at - CLOCKS_APART_MS && outcome?.leaseId !== hold.grant.leaseId) {
          yield { jobId: id, what: `${key} resumed the lease ${token}, which had let go of it ${(hello.at - hold.until).toFixed(0)} ms before` };
        }
      }
    }
    for (const token of welcome.lost) {
      const grant = grants.get(leaseIdOf(token));
      if (grant?.token !== token) continue;
      const held = grant.jobIds.find((id) => jobs.get(id)!.holds.some((hold) =>
        hold.grant === grant && hold.from < hello.at && hold.until > welcome.at + CLOCKS_APART_MS));
      if (held !== undefined) yield { jobId: held, what: `${key} was told that the lease ${token} is lost, while it held it` };
    }
  }
}
