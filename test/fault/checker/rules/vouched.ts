import type { Told } from '../../history/events.ts';
import { eventsOf, type Facts, type Hold, type JobFacts, type StreamFacts } from '../facts.ts';
import { CLOCKS_APART_MS, type Rule, type Violation } from '../violation.ts';

type Found = Iterable<Omit<Violation, 'rule'>>;

/** Clocks, and the moment between a worker's look at its lease and its word that it begins. */
const SLACK_MS = CLOCKS_APART_MS + 20;

export const vouched: Rule = {
  name: 'vouched for',
  holds: 'no lease runs out while its coordinator has promised that it lives; no honest worker begins a job that was given to others',
  *check(facts) {
    yield* earlyExpiries(facts);
    yield* lateStarts(facts);
  },
};

/** A promise was made for so long, counted from the worker's own sending of its hello or heartbeat. */
interface Promised {
  from: number;
  until: number;
}

function promisesOf({ told }: StreamFacts): Promised[] {
  const beats = new Map<number, number>();
  const promises: Promised[] = [];
  let helloAt = 0;
  for (const event of told) {
    if (event.event === 'hello') helloAt = event.at;
    if (event.event === 'welcome') promises.push({ from: helloAt, until: helloAt + event.ttlMs });
    if (event.event === 'beat') beats.set(event.sequence, event.at);
    // Sequence 0 is said again and again by those who do not care.
    if (event.event !== 'alive' || event.sequence === 0) continue;
    const from = beats.get(event.sequence);
    if (from !== undefined) promises.push({ from, until: from + event.validForMs });
  }
  return promises;
}

function* earlyExpiries({ jobs, streams }: Facts): Found {
  const bySession = new Map<string, StreamFacts>();
  for (const stream of streams.values()) {
    const welcome = eventsOf(stream.told, 'welcome')[0];
    if (welcome !== undefined) bySession.set(welcome.session, stream);
  }
  const promises = new Map<StreamFacts, Promised[]>();
  for (const { id, attempts, holds } of jobs.values()) {
    for (const { leaseId, state, code, endedAt, number } of attempts) {
      const hold = state === 2 && code === 'LEASE_EXPIRED' ? holds.find(({ grant }) => grant.leaseId === leaseId) : undefined;
      const stream = hold === undefined ? undefined : bySession.get(sessionAt(hold, endedAt));
      if (stream === undefined) continue;
      if (!promises.has(stream)) promises.set(stream, promisesOf(stream));
      const broken = promises.get(stream)!.find(({ from, until }) => from < endedAt - SLACK_MS && until > endedAt + SLACK_MS);
      if (broken !== undefined) {
        yield { jobId: id, what: `attempt ${number} ran out under lease ${leaseId}, ${(broken.until - endedAt).toFixed(0)} ms before the end of what ${stream.key} was promised` };
      }
    }
  }
}

/** Whose the lease was at that time. */
function sessionAt({ grant }: Hold, at: number): string {
  return grant.moves.findLast((move) => move.at <= at)?.sessionId ?? grant.sessionId;
}

function* lateStarts({ jobs, told }: Facts): Found {
  const thawed = firstWordsAfterThaw(told);
  for (const job of jobs.values()) {
    for (const start of eventsOf(job.told, 'start')) {
      const lost = lostAt(job, start.token);
      // Whoever was frozen between its look and its word cannot know better.
      if (lost < start.at - SLACK_MS && !thawed.has(start)) {
        yield { jobId: job.id, what: `${start.by} began it under ${start.token}, which had been given up ${(start.at - lost).toFixed(0)} ms before` };
      }
    }
  }
}

/** When a lease was taken from its holder; Infinity: it never was. A job that ended, or that the holder gave back, was not taken. */
function lostAt({ holds, attempts }: JobFacts, token: string): number {
  const hold = holds.find(({ grant }) => grant.token === token);
  if (hold === undefined) return -Infinity;
  const expired = attempts.some(({ leaseId, state, code }) => leaseId === hold.grant.leaseId && state === 2 && code === 'LEASE_EXPIRED');
  return expired ? hold.until : Infinity;
}

function firstWordsAfterThaw(told: readonly Told[]): ReadonlySet<Told> {
  const frozen = new Set<string>();
  const thawing = new Set<string>();
  const first = new Set<Told>();
  for (const event of told) {
    if (event.event === 'signal' && (event.signal === 'SIGSTOP' || event.signal === 'SIGCONT')) {
      const name = `${event.process}.${event.incarnation}`;
      (event.signal === 'SIGSTOP' ? frozen : thawing).add(name);
    } else if (frozen.has(event.by)) {
      // What it was about to say when it froze is written after the signal, which arrives a moment later than it is sent.
      first.add(event);
      if (thawing.has(event.by)) [frozen, thawing].forEach((names) => names.delete(event.by));
    }
  }
  return first;
}

