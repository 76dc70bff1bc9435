import { int4Array } from './binary.ts';
import { claim, CLAIM_LIMITED, type ClaimQueue, type ClaimResult } from './claim.ts';
import type { Statement, TransactionRun } from './hot_connection.ts';
import type { LentJobs } from './recent_jobs.ts';

/** A claim of queues with limits, and how it stands with them after it. */
export interface LimitedClaim extends ClaimResult {
  /** By queue, as asked. No more may start now; and how long until a token is due: milliseconds, null where none is awaited. undefined: more may. */
  full: ({ tokenDueMs: number | null } | undefined)[];
}

/** Who takes jobs of these queues takes turns: their gates are locked in one order. */
const LOCK: Statement = {
  name: 'limited_lock',
  text: 'select id from skiplease.gate where queue_id = any($1::int4[]) and kind = 1 order by id for update',
};

/**
 * How many may start: what runs is counted in the leases. Those that were granted before there was a limit are flagged by
 * the review of the change; until then they are counted one by one.
 */
const LOOK: Statement = {
  name: 'limited_look',
  text: `
  select q.id, q.running_max - case when q.running_max is not null then (
           (select coalesce(sum(length(settled) - bit_count(settled)), 0) from skiplease.lease where limited and queue_id = q.id)
           + case when q.limits_changed_at is null then 0
                  else (select coalesce(sum(length(settled) - bit_count(settled)), 0) from skiplease.lease where not limited and queue_id = q.id) end) end,
         skiplease.bucket(g.tokens, g.tokens_at, skiplease.now(), q.rate_starts, q.rate_period_ms, q.rate_burst),
         q.rate_starts / q.rate_period_ms, q.rate_burst
    from unnest($1::int4[]) as i (id)
   cross join lateral (select * from skiplease.queue where id = i.id offset 0) q
   cross join lateral (select tokens, tokens_at from skiplease.gate where queue_id = i.id and kind = 1 and key = '' offset 0) g`,
};

/** By a clock that stands after the starts: what comes back to the bucket is counted from then. */
const TAKE: Statement = {
  name: 'limited_take',
  text: `
  update skiplease.gate g
     set tokens = skiplease.bucket(g.tokens, g.tokens_at, c.now, q.rate_starts, q.rate_period_ms, q.rate_burst) - i.starts, tokens_at = c.now
    from unnest($1::int4[], $2::int4[]) as i (queue_id, starts)
   cross join lateral (select * from skiplease.queue where id = i.queue_id and rate_starts is not null offset 0) q,
         (select skiplease.now() as now) c
   where g.queue_id = i.queue_id and g.kind = 1 and g.key = ''`,
};

/** What one queue's limit allows; a part that it does not have is Infinity. */
interface Allowance {
  room: number;
  tokens: number;
  tokensPerMs: number;
  burst: number;
}

/** Several tokens are waited for at once, where they come faster than a claim is worth: those of so many milliseconds. */
const TOKENS_MS = 20;

/** Locks, looks, claims no more than may start, takes their tokens: in one transaction. */
export async function claimLimited(run: TransactionRun, coordinatorId: string, queues: ClaimQueue[], lent: LentJobs): Promise<LimitedClaim> {
  const ids = int4Array(queues.map(({ queueId }) => queueId));
  await run(LOCK, [ids]);
  const allowances = new Map((await run(LOOK, [ids])).map((row) => [Number(row[0]), {
    room: row[1] === null ? Infinity : Math.max(0, Number(row[1])),
    tokens: row[2] === null ? Infinity : Number(row[2]),
    tokensPerMs: Number(row[3]),
    burst: Number(row[4]),
  }]));
  const left = queues.map(({ queueId }) => allowances.get(queueId) ?? { room: Infinity, tokens: Infinity, tokensPerMs: 0, burst: 0 });
  if (left.every((allowance) => mayStart(allowance) === 0)) {
    return { slots: queues.map(() => []), marks: queues.map(() => new Map<number, bigint>()), short: queues.map(() => false), full: left.map(fullness) };
  }
  const result = await claim((values) => run(CLAIM_LIMITED, values), coordinatorId, queues.map((queue, index) => atMost(queue, mayStart(left[index]!))), lent);
  const taken = result.slots.map((slots) => slots.reduce((sum, slot) => sum + (slot?.jobs.length ?? 0), 0));
  left.forEach((allowance, index) => {
    allowance.room -= taken[index]!;
    allowance.tokens -= taken[index]!;
  });
  const metered = queues.flatMap(({ queueId }, index) => (taken[index]! > 0 && left[index]!.tokens < Infinity ? [{ queueId, starts: taken[index]! }] : []));
  if (metered.length > 0) {
    await run(TAKE, [int4Array(metered.map(({ queueId }) => queueId)), int4Array(metered.map(({ starts }) => starts))]);
  }
  return { ...result, full: left.map(fullness) };
}

function mayStart({ room, tokens }: Allowance): number {
  return Math.floor(Math.min(room, tokens));
}

function fullness({ room, tokens, tokensPerMs, burst }: Allowance): { tokenDueMs: number | null } | undefined {
  if (room >= 1 && tokens >= 1) {
    return undefined;
  }
  const awaited = Math.max(1, Math.min(burst, Math.floor(TOKENS_MS * tokensPerMs)));
  return { tokenDueMs: room < 1 ? null : (awaited - tokens) / tokensPerMs };
}

/** The first slots in full, one in part, nothing for the others. */
function atMost(queue: ClaimQueue, jobs: number): ClaimQueue {
  let left = jobs;
  const slots = queue.slots.map((slot) => {
    const given = Math.min(slot.jobs, left);
    left -= given;
    return { ...slot, jobs: given };
  });
  return { ...queue, slots: slots.filter((slot) => slot.jobs > 0) };
}
