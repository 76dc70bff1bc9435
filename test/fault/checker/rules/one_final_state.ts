import { eventsOf, provenHold, type JobFacts } from '../facts.ts';
import { CANCELLED, FAILED, SUCCEEDED, type OutcomeRow } from '../rows.ts';
import { CLOCKS_APART_MS, type Rule } from '../violation.ts';

const NAMES: Record<number, string> = { [SUCCEEDED]: 'SUCCEEDED', [FAILED]: 'FAILED', [CANCELLED]: 'CANCELLED' };
const FINAL = new Set(Object.values(NAMES));

export const oneFinalState: Rule = {
  name: 'one final state',
  holds: 'a final job stays as it is: it is never leased again nor seen otherwise, and it ended in a way that somebody asked for',
  *check({ jobs }) {
    for (const job of jobs.values()) {
      const { id, outcome, holds, told } = job;
      if (outcome === undefined) continue;
      for (const { grant, from } of holds) {
        if (from > outcome.finishedAt) yield { jobId: id, what: `was leased again (lease ${grant.leaseId}) after it was ${NAMES[outcome.state]}` };
      }
      for (const { at, state } of eventsOf(told, 'seen')) {
        if (FINAL.has(state) ? state !== NAMES[outcome.state] : at - LOOK_MS_MAX > outcome.committedAt) {
          yield { jobId: id, what: `was seen ${state}, and is ${NAMES[outcome.state]}` };
        }
      }
      const why = unasked(job, outcome);
      if (why !== undefined) yield { jobId: id, what: why };
    }
  },
};

/** A look is written down once its answer is here; it may have been taken so long before. */
const LOOK_MS_MAX = 45_000;

/** Why the job should not have ended so; undefined: it may. */
function unasked(job: JobFacts, { state, attempt, leaseId, reason, finishedAt }: OutcomeRow): string | undefined {
  const { row, attempts, told } = job;
  if (state === CANCELLED) {
    const askedFor = reason === 'AFTER_JOB_FAILED' || row?.batchId != null || eventsOf(told, 'cancel').some(({ at }) => at < finishedAt + CLOCKS_APART_MS);
    return askedFor ? undefined : 'is CANCELLED, which nobody asked for';
  }
  if (state === SUCCEEDED) return undefined;
  const last = attempts.at(-1);
  if (last?.leaseId !== leaseId || last?.number !== attempt) return `is FAILED under lease ${leaseId}, attempt ${attempt}, of which no attempt tells`;
  const permanent = eventsOf(told, 'report').some(({ token, jobs }) =>
    provenHold(job, token)?.grant.leaseId === leaseId && jobs.some(([id, kind]) => id === job.id && kind === 'permanent'));
  return permanent || attempt >= row!.maxAttempts ? undefined : `is FAILED after attempt ${attempt} of ${row!.maxAttempts}`;
}
