import { QUEUES } from '../../workload/queues.ts';
import type { QueueLimit, QueueSettings } from '../../../../worker/index.ts';
import { eventsOf, type Facts, type Grant, type Hold, type JobFacts } from '../facts.ts';
import type { Rule, Violation } from '../violation.ts';

type Found = Iterable<Omit<Violation, 'rule'>>;

export const withinLimits: Rule = {
  name: 'within limits',
  holds: 'no more jobs of a queue or key run, or start in a time, than its limit lets; no worker is handed more than its window holds',
  *check(facts) {
    const groups = new Map<string, { limit: QueueLimit; jobs: JobFacts[] }>();
    for (const job of facts.jobs.values()) {
      const { queue, limitKey } = job.row ?? {};
      const settings: QueueSettings = QUEUES[queue as keyof typeof QUEUES] ?? {};
      const limit = settings.limit ?? (limitKey == null ? undefined : settings.keyLimit);
      if (limit === undefined) continue;
      const name = `${queue}${settings.limit === undefined ? `, key '${limitKey}'` : ''}`;
      if (!groups.has(name)) groups.set(name, { limit, jobs: [] });
      groups.get(name)!.jobs.push(job);
    }
    for (const [name, { limit, jobs }] of groups) {
      yield* tooManyRun(name, limit.runningMax ?? Infinity, jobs);
      yield* tooManyStart(name, limit.rate, jobs);
    }
    yield* beyondWindows(facts);
  },
};

function* tooManyRun(name: string, runningMax: number, jobs: JobFacts[]): Found {
  const changes = jobs.flatMap(({ id, holds }) => holds.flatMap(({ from, until }) => (until > from ? [{ at: from, by: 1, id }, { at: until, by: -1, id }] : [])));
  let running = 0;
  for (const { by, id } of changes.sort((a, b) => a.at - b.at || a.by - b.by)) {
    running += by;
    if (by > 0 && running > runningMax) yield { jobId: id, what: `was leased as the ${running}th that runs of ${name}, where ${runningMax} may` };
  }
}

/** As a bucket of twice the size would let: a claim that has taken its tokens may be held up until the next has taken others. */
function* tooManyStart(name: string, rate: QueueLimit['rate'], jobs: JobFacts[]): Found {
  if (rate === undefined) return;
  const full = 2 * (rate.burst ?? 1);
  let tokens = full;
  let last = -Infinity;
  const starts = jobs.flatMap(({ id, holds }) => holds.map(({ from }) => ({ at: from, id })));
  for (const { at, id } of starts.sort((a, b) => a.at - b.at)) {
    tokens = Math.min(full, tokens + ((at - last) * rate.starts) / rate.periodMs) - 1;
    last = at;
    if (tokens < 0) yield { jobId: id, what: `started too soon after others of ${name}` };
    tokens = Math.max(tokens, 0);
  }
}

/** Counted are jobs that the stream was handed, or resumed, and has not reported, and that were its own when the next lease was granted. */
function* beyondWindows({ streams, grants, jobs }: Facts): Found {
  for (const { key, told } of streams.values()) {
    const hello = eventsOf(told, 'hello')[0];
    const session = eventsOf(told, 'welcome')[0]?.session;
    if (hello === undefined || session === undefined) continue;
    let open: { id: string; hold: Hold }[] = [];
    const take = (token: string, ids: readonly string[]): void => {
      for (const id of ids) {
        const hold = jobs.get(id)!.holds.find(({ grant }) => grant.token === token);
        if (hold !== undefined) open.push({ id, hold });
      }
    };
    for (const event of told) {
      if (event.event === 'welcome') event.resumed.forEach(([token, ids]) => take(token, ids));
      if (event.event === 'report' || event.event === 'stopped') {
        const ids = new Set(event.event === 'report' ? event.jobs.map(([id]) => id) : event.ids);
        open = open.filter(({ id, hold }) => hold.grant.token !== event.token || !(ids.size === 0 || ids.has(id)));
      }
      if (event.event !== 'lease') continue;
      const grant = grants.get(event.token.slice(0, event.token.indexOf('.')));
      if (grant === undefined) continue;
      open = open.filter(({ hold }) => hold.until > grant.at && isOf(hold.grant, session, grant.at));
      take(event.token, event.jobs.map(([id]) => id));
      if (open.length > hello.window) yield { jobId: event.jobs[0]?.[0], what: `${key} was handed lease ${event.token} and holds ${open.length} jobs, where its window has ${hello.window}` };
    }
  }
}

function isOf(grant: Grant, session: string, at: number): boolean {
  return (grant.moves.findLast((move) => move.at <= at)?.sessionId ?? grant.sessionId) === session;
}
