import type { HistoryEvent, StreamEvent, Told } from '../history/events.ts';
import type { AttemptRow, GrantRow, JobRow, LedgerRow, OutcomeRow, Rows } from './rows.ts';

/** All that the checker goes by: what everybody saw, in the order of time, and what the database says at the end. */
export interface Evidence {
  told: Told[];
  rows: Rows;
}

/** One lease, as the database saw it. */
export interface Grant extends GrantRow {
  /** Resumed by another session at that time, in order. */
  moves: { sessionId: string; at: number }[];
}

/** One lease's hold on one job: from its grant until it was settled, ended or given up; Infinity: it never was. */
export interface Hold {
  grant: Grant;
  attempt: number;
  from: number;
  until: number;
}

/** Everything about one job. */
export interface JobFacts {
  id: string;
  row: JobRow | undefined;
  outcome: OutcomeRow | undefined;
  /** By number. */
  attempts: AttemptRow[];
  /** In the order of their grants. */
  holds: Hold[];
  ledger: LedgerRow[];
  /** Events that name it, in the order of time. */
  told: Told[];
}

/** One Lease stream, as its worker saw it. */
export interface StreamFacts {
  key: string;
  told: Told<StreamEvent>[];
}

export interface Facts {
  told: readonly Told[];
  rows: Rows;
  jobs: ReadonlyMap<string, JobFacts>;
  /** By lease id. */
  grants: ReadonlyMap<string, Grant>;
  streams: ReadonlyMap<string, StreamFacts>;
}

/** Puts together what belongs together. */
export function gatherFacts({ told, rows }: Evidence): Facts {
  const jobs = new Map<string, JobFacts>();
  const jobOf = (id: string): JobFacts => {
    let job = jobs.get(id);
    if (job === undefined) jobs.set(id, (job = { id, row: undefined, outcome: undefined, attempts: [], holds: [], ledger: [], told: [] }));
    return job;
  };
  for (const row of rows.job) jobOf(row.id).row = row;
  for (const row of rows.outcome) jobOf(row.id).outcome = row;
  for (const row of rows.attempt) jobOf(row.id).attempts.push(row);
  for (const row of rows.ledger) jobOf(row.id).ledger.push(row);
  const grants = new Map<string, Grant>(rows.granted.map((row) => [row.leaseId, { ...row, moves: [] }]));
  for (const { leaseId, ...move } of rows.moved) grants.get(leaseId)?.moves.push(move);
  for (const { moves } of grants.values()) moves.sort((a, b) => a.at - b.at);
  gatherHolds(rows, grants, jobOf);
  for (const { attempts, holds } of jobs.values()) {
    attempts.sort((a, b) => a.number - b.number);
    holds.sort((a, b) => a.from - b.from);
  }
  const streams = new Map<string, StreamFacts>();
  for (const event of told) {
    for (const id of jobsNamed(event)) jobOf(id).told.push(event);
    if (!('stream' in event)) continue;
    const key = `${event.by} stream ${event.stream}`;
    if (!streams.has(key)) streams.set(key, { key, told: [] });
    streams.get(key)!.told.push(event);
  }
  return { told, rows, jobs, grants, streams };
}

/** A hold ends with the first of: its bit, its lease, its job. */
function gatherHolds(rows: Rows, grants: ReadonlyMap<string, Grant>, jobOf: (id: string) => JobFacts): void {
  const ends = new Map([...grants.values()].map(({ leaseId, jobIds }) => [leaseId, jobIds.map(() => Infinity)]));
  const end = (leaseId: string, index: number, at: number): void => {
    const of = ends.get(leaseId);
    if (of !== undefined) of[index] = Math.min(of[index]!, at);
  };
  for (const { leaseId, settled, at } of rows.settled) {
    for (let index = 0; index < settled.length; index += 1) if (settled[index] === '1') end(leaseId, index, at);
  }
  for (const { leaseId, at } of rows.dropped) ends.get(leaseId)?.forEach((_, index) => end(leaseId, index, at));
  for (const grant of grants.values()) {
    for (const [index, id] of grant.jobIds.entries()) {
      const job = jobOf(id);
      const until = Math.min(ends.get(grant.leaseId)![index]!, job.outcome?.finishedAt ?? Infinity);
      job.holds.push({ grant, attempt: grant.attempts[index]!, from: grant.at, until });
    }
  }
}

/** The jobs that an event names. */
export function jobsNamed(event: HistoryEvent): readonly string[] {
  switch (event.event) {
    case 'submit':
      return event.jobs.map(({ id }) => id);
    case 'accepted': case 'refused': case 'cancel': case 'batch': case 'stopped':
      return event.ids;
    case 'cancel answered':
      return event.results.map(([id]) => id);
    case 'lease': case 'report': case 'receipt':
      return event.jobs.map(([id]) => id);
    case 'welcome':
      return event.resumed.flatMap(([, ids]) => ids);
    case 'seen': case 'order': case 'start': case 'end': case 'crash':
      return [event.id];
    default:
      return [];
  }
}

/** The part of a token before the dot. */
export function leaseIdOf(token: string): string {
  return token.slice(0, token.indexOf('.'));
}

/** The hold that a token proves, if it proves one. */
export function provenHold(job: JobFacts, token: string): Hold | undefined {
  return job.holds.find(({ grant }) => grant.token === token);
}

/** Events of one kind. */
export function eventsOf<Kind extends HistoryEvent['event']>(told: readonly Told[], kind: Kind): Told<Extract<HistoryEvent, { event: Kind }>>[] {
  return told.filter((event) => event.event === kind) as unknown as Told<Extract<HistoryEvent, { event: Kind }>>[];
}

