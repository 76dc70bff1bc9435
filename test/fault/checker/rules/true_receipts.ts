import type { ReceiptStatusName, ReportKind } from '../../history/events.ts';
import { eventsOf, leaseIdOf, provenHold, type Hold, type JobFacts } from '../facts.ts';
import { CANCELLED, FAILED, SUCCEEDED } from '../rows.ts';
import { CLOCKS_APART_MS, type Rule } from '../violation.ts';

export const trueReceipts: Rule = {
  name: 'true receipts',
  holds: 'ACCEPTED was committed by then as it was reported, once; DUPLICATE had been; LEASE_LOST was lost and changed nothing; CANCELLED was cancelled; nothing right is INVALID',
  *check({ jobs }) {
    for (const job of jobs.values()) {
      const acceptedTokens = new Set<string>();
      for (const { at, token, jobs: statuses, by, stream } of eventsOf(job.told, 'receipt')) {
        for (const [id, status] of statuses) {
          if (id !== job.id) continue;
          const reports = reportsOf(job, token, by, stream, at);
          const what = untrue(job, { at, token, status, reports, again: acceptedTokens.has(token) });
          if (what !== undefined) yield { jobId: id, what: `${by} was told ${status} under ${token}, but ${what}` };
          if (status === 'ACCEPTED') acceptedTokens.add(token);
        }
      }
    }
  },
};

interface Report {
  at: number;
  kind: ReportKind;
}

interface Receipt {
  at: number;
  token: string;
  status: ReceiptStatusName;
  /** What it may be the answer to. */
  reports: Report[];
  /** Not the first ACCEPTED under this token. */
  again: boolean;
}

function reportsOf(job: JobFacts, token: string, by: string, stream: number, before: number): Report[] {
  return eventsOf(job.told, 'report')
    .filter((report) => report.token === token && report.by === by && report.stream === stream && report.at <= before)
    .flatMap(({ at, jobs }) => jobs.filter(([id]) => id === job.id).map(([, kind]) => ({ at, kind })));
}

/** What a lease did to a job on behalf of whoever reported, or completed it in SQL. */
type Effect = { kind: 'succeeded' | 'failed' | 'permanent' | 'back'; at: number };

function effectOf({ outcome, attempts }: JobFacts, leaseId: string, hold: Hold | undefined): Effect | undefined {
  const attempt = attempts.find((one) => one.leaseId === leaseId);
  if (attempt?.state === 2) return undefined;
  if (outcome?.leaseId === leaseId && outcome.state === SUCCEEDED) return { kind: 'succeeded', at: outcome.committedAt };
  if (outcome?.leaseId === leaseId && outcome.state === FAILED) return { kind: 'permanent', at: outcome.committedAt };
  if (attempt !== undefined) return { kind: 'failed', at: attempt.committedAt };
  const ended = hold !== undefined && hold.until < (outcome?.finishedAt ?? Infinity);
  return ended ? { kind: 'back', at: hold.until } : undefined;
}

const MAY_BE: Record<ReportKind, readonly Effect['kind'][]> = {
  succeeded: ['succeeded'], failed: ['failed', 'permanent'], permanent: ['permanent'], released: ['back'], snoozed: ['back'],
};

/** Why a receipt is a lie; undefined: it is true. */
function untrue(job: JobFacts, { at, token, status, reports, again }: Receipt): string | undefined {
  const hold = provenHold(job, token);
  const effect = effectOf(job, leaseIdOf(token), hold);
  const recorded = effect !== undefined && effect.at <= at + CLOCKS_APART_MS;
  if (reports.length === 0) return 'had reported nothing of the kind';
  switch (status) {
    case 'ACCEPTED':
      if (hold === undefined) return 'no lease of that token ever held it';
      if (again) return 'had been told so before';
      if (effect === undefined) return 'nothing of it is in the database';
      if (!recorded) return `it was committed only ${(effect.at - at).toFixed(1)} ms later`;
      return reports.some(({ kind }) => MAY_BE[kind].includes(effect.kind)) ? undefined : `what was recorded is ${effect.kind}`;
    case 'DUPLICATE':
      return recorded ? undefined : 'there is nothing that it repeats';
    case 'LEASE_LOST':
      if (hold === undefined) return undefined;
      if (effect !== undefined && effect.kind !== 'back') return `it was recorded as ${effect.kind} under this lease`;
      return held(hold, reports[0]!.at, at) ? 'the lease held it all the while' : undefined;
    case 'CANCELLED':
      return job.outcome?.state === CANCELLED && job.outcome.committedAt <= at + CLOCKS_APART_MS ? undefined : 'it is not';
    case 'INVALID':
      return 'there was nothing wrong with the report';
  }
}

function held({ from, until }: Hold, begin: number, end: number): boolean {
  return from < begin && until > end + CLOCKS_APART_MS;
}

