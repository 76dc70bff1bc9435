/** The laboratory's checker, with made-up histories that break each rule: one that cannot fail would be worthless. */
import test from 'ava';
import { check } from '../fault/checker/check.ts';
import type { Evidence } from '../fault/checker/facts.ts';
import { describeVerdict } from '../fault/checker/report.ts';
import { CANCELLED, FAILED, SUCCEEDED, type JobRow, type OutcomeRow } from '../fault/checker/rows.ts';
import { RULES } from '../fault/checker/rules/index.ts';
import type { HistoryEvent, ReportKind } from '../fault/history/events.ts';

const JOB = 'job-a';
const OTHER = 'job-b';
const LEASE = '10';
const TOKEN = '10.00000000000000aa';
const LATER = '11';
const LATER_TOKEN = '11.00000000000000bb';
const WORKER = 'worker-0.1';
const SESSION = 'session-a';
/** So short that each story is long enough. */
const TTL_MS = 10;

function jobRow(id: string, more: Partial<JobRow> = {}): JobRow {
  return {
    id, queue: 'plain', type: 'work', serialKey: null, limitKey: null, maxAttempts: 3, runAt: null, afterJobIds: [], runAnyway: false, batchId: null,
    wantsChild: false, parentId: null, parentLeaseId: null, ...more,
  };
}

function outcomeRow(id: string, more: Partial<OutcomeRow> = {}): OutcomeRow {
  return { id, state: SUCCEEDED, leaseId: LEASE, attempt: 1, finishedAt: 80, committedAt: 81, resultLeaseId: LEASE, reason: null, ...more };
}

/** A made-up run, to be spoilt. */
class Story {
  readonly evidence: Evidence = {
    told: [],
    rows: { job: [], outcome: [], attempt: [], granted: [], settled: [], moved: [], dropped: [], ledger: [], orders: [], batch: [], left: [] },
  };

  tell(at: number, event: HistoryEvent, by = WORKER): this {
    this.evidence.told.push({ ...event, at, by });
    return this;
  }

  submitted(id: string, at: number, more: Partial<JobRow> = {}): this {
    const row = jobRow(id, more);
    this.evidence.rows.job.push(row);
    const asked = { id, queue: row.queue, type: row.type, ...(row.serialKey !== null && { serialKey: row.serialKey }) };
    return this.tell(at, { event: 'submit', jobs: [asked] }, 'submitter.1').tell(at + 5, { event: 'accepted', ids: [id], existing: [] }, 'submitter.1');
  }

  /** From a grant, seen by the database and by the worker, to a success at `end`. */
  done(id: string, begin: number, end: number, { leaseId = LEASE, attempt = 1 } = {}): this {
    const token = `${leaseId}.00000000000000${leaseId === LEASE ? 'aa' : 'bb'}`;
    this.leased(id, begin, { leaseId, attempt }).reported(id, end - 5, 'succeeded', token);
    this.evidence.rows.settled.push({ leaseId, settled: '1', at: end });
    this.evidence.rows.outcome.push(outcomeRow(id, { leaseId, attempt, finishedAt: end, committedAt: end + 1, resultLeaseId: leaseId }));
    return this.told(id, end + 10, 'ACCEPTED', token);
  }

  leased(id: string, at: number, { leaseId = LEASE, attempt = 1 } = {}): this {
    const token = `${leaseId}.00000000000000${leaseId === LEASE ? 'aa' : 'bb'}`;
    this.evidence.rows.granted.push({ leaseId, token, sessionId: SESSION, jobIds: [id], attempts: [attempt], at });
    return this.tell(at + 1, { event: 'lease', stream: 1, token, queue: 'plain', jobs: [[id, attempt]] })
      .tell(at + 2, { event: 'start', token, id, attempt });
  }

  reported(id: string, at: number, kind: ReportKind, token = TOKEN): this {
    return this.tell(at, { event: 'report', stream: 1, token, jobs: [[id, kind]] });
  }

  told(id: string, at: number, status: 'ACCEPTED' | 'DUPLICATE' | 'LEASE_LOST' | 'CANCELLED' | 'INVALID', token = TOKEN): this {
    return this.tell(at, { event: 'receipt', stream: 1, token, jobs: [[id, status]] });
  }

  expired(id: string, at: number, number = 1): this {
    this.evidence.rows.attempt.push({ id, number, leaseId: LEASE, state: 2, endedAt: at, committedAt: at + 1, code: 'LEASE_EXPIRED' });
    this.evidence.rows.dropped.push({ leaseId: LEASE, at });
    return this;
  }
}

/** A worker that does one job as it should. */
function good(more: Partial<JobRow> = {}): Story {
  return new Story()
    .tell(1, { event: 'hello', stream: 1, instance: 'instance-a', window: 5, held: [] })
    .tell(3, { event: 'welcome', stream: 1, session: SESSION, ttlMs: TTL_MS, resumed: [], lost: [] })
    .submitted(JOB, 10, more)
    .done(JOB, 20, 80);
}

/** One whose first lease ran out, and whose second one did the job. */
function twoLeases(): Story {
  return new Story()
    .tell(1, { event: 'hello', stream: 1, instance: 'instance-a', window: 5, held: [] })
    .tell(3, { event: 'welcome', stream: 1, session: SESSION, ttlMs: TTL_MS, resumed: [], lost: [] })
    .submitted(JOB, 10).leased(JOB, 20).expired(JOB, 50).done(JOB, 60, 80, { leaseId: LATER, attempt: 2 });
}

function rulesBroken({ evidence }: Story): string[] {
  evidence.told.sort((a, b) => a.at - b.at);
  return [...new Set(check(evidence).violations.map(({ rule }) => rule))];
}

test('nothing is found where nothing is wrong', (t) => {
  t.deepEqual(rulesBroken(good()), []);
  t.deepEqual(rulesBroken(twoLeases()), []);
  t.deepEqual(rulesBroken(good().reported(JOB, 100, 'succeeded').told(JOB, 110, 'DUPLICATE')), []);
  t.deepEqual(rulesBroken(twoLeases().reported(JOB, 100, 'failed').told(JOB, 110, 'LEASE_LOST')), []);
});

/** What spoils a good story, and the rule that must see it. */
const LIES: [title: string, rule: string, story: () => Story][] = [
  ['an accepted job is not there', 'nothing lost', () => {
    const story = good().tell(12, { event: 'submit', jobs: [{ id: OTHER, queue: 'plain', type: 'work' }] }, 'submitter.1');
    return story.tell(13, { event: 'accepted', ids: [OTHER], existing: [] }, 'submitter.1');
  }],
  ['a job is another than was asked for', 'nothing lost', () => {
    const story = good();
    story.evidence.rows.job[0]!.queue = 'trouble';
    return story;
  }],
  ['a job comes from nowhere', 'nothing lost', () => {
    const story = good();
    story.evidence.told = story.evidence.told.filter(({ event }) => event !== 'submit' && event !== 'accepted');
    return story;
  }],
  ['a repeated submit is answered as if it were new', 'nothing lost', () => good()
    .tell(90, { event: 'submit', jobs: [{ id: JOB, queue: 'plain', type: 'work', again: true }] }, 'submitter.1')
    .tell(95, { event: 'accepted', ids: [JOB], existing: [] }, 'submitter.1')],
  ['a good submit is refused', 'nothing lost', () => good().tell(90, { event: 'refused', ids: [JOB], code: 'INTERNAL', message: 'oops' }, 'submitter.1')],
  ['a good submit is refused, and nothing of it is there', 'nothing lost', () => good().tell(90, { event: 'refused', ids: [OTHER], code: 'INTERNAL', message: 'oops' }, 'submitter.1')],
  ['the close of a batch is refused', 'nothing lost', () => good().tell(90, { event: 'refused', ids: [], code: 'INTERNAL', message: 'oops' }, 'submitter.1')],

  ['a final job is leased again', 'one final state', () => good().leased(JOB, 100, { leaseId: LATER })],
  ['a final job is seen in another final state', 'one final state', () => good().tell(90, { event: 'seen', id: JOB, state: 'FAILED', attempt: 1 })],
  ['a final job is seen waiting, long after', 'one final state', () => good().tell(90_000, { event: 'seen', id: JOB, state: 'READY', attempt: 1 })],
  ['a job is cancelled, and nobody has asked for that', 'one final state', () => {
    const story = good();
    story.evidence.rows.outcome = [outcomeRow(JOB, { state: CANCELLED, resultLeaseId: null })];
    return story;
  }],
  ['a job has failed with attempts left', 'one final state', () => {
    const story = twoLeases();
    story.evidence.rows.outcome = [outcomeRow(JOB, { state: FAILED, resultLeaseId: null, finishedAt: 50, committedAt: 51 })];
    return story;
  }],

  ['a job is leased while another lease holds it', 'one holder', () => {
    const story = twoLeases();
    story.evidence.rows.dropped[0]!.at = 70;
    return story;
  }],
  ['an attempt is spent by nothing', 'one holder', () => {
    const story = twoLeases();
    story.evidence.rows.attempt = [];
    return story;
  }],
  ['an attempt that ran out is not spent', 'one holder', () => {
    const story = twoLeases();
    story.evidence.rows.granted[1]!.attempts = [1];
    return story;
  }],
  ['a later lease has a lower number', 'one holder', () => {
    const story = twoLeases();
    story.evidence.rows.granted[1]!.leaseId = '9';
    return story;
  }],
  ['an attempt is told of a lease that never held the job', 'one holder', () => {
    const story = good();
    story.evidence.rows.attempt.push({ id: JOB, number: 1, leaseId: LATER, state: 1, endedAt: 30, committedAt: 31, code: 'X' });
    return story;
  }],
  ['a lease goes to two workers', 'one holder', () => good().tell(30, { event: 'lease', stream: 1, token: TOKEN, queue: 'plain', jobs: [[JOB, 1]] }, 'worker-1.1')],
  ['a worker receives a lease that was never granted', 'one holder', () => good().tell(30, { event: 'lease', stream: 1, token: LATER_TOKEN, queue: 'plain', jobs: [[JOB, 1]] })],

  ['a stale lease ends a job', 'no stale effect', () => {
    const story = twoLeases();
    story.evidence.rows.outcome[0]!.leaseId = LEASE;
    return story;
  }],
  ['a result is of another lease than the one on record', 'no stale effect', () => {
    const story = twoLeases();
    story.evidence.rows.outcome[0]!.resultLeaseId = LEASE;
    return story;
  }],
  ['an attempt is failed long after its lease had let go of the job', 'no stale effect', () => {
    const story = twoLeases();
    story.evidence.rows.attempt[0]!.endedAt = 50_000;
    return story;
  }],
  ['a made-up token is resumed', 'no stale effect', () => good()
    .tell(90, { event: 'hello', stream: 2, instance: 'instance-a', window: 5, held: ['12.00'] })
    .tell(95, { event: 'welcome', stream: 2, session: 'session-b', ttlMs: TTL_MS, resumed: [['12.00', [JOB]]], lost: [] })],
  ['a lease is resumed by somebody who did not name its token', 'no stale effect', () => good()
    .tell(30, { event: 'hello', stream: 2, instance: 'instance-b', window: 5, held: ['10.00'] })
    .tell(35, { event: 'welcome', stream: 2, session: 'session-b', ttlMs: TTL_MS, resumed: [[TOKEN, [JOB]]], lost: [] })],
  ['a lease that has run out is resumed', 'no stale effect', () => twoLeases()
    .tell(90, { event: 'hello', stream: 2, instance: 'instance-a', window: 5, held: [TOKEN] })
    .tell(95, { event: 'welcome', stream: 2, session: 'session-b', ttlMs: TTL_MS, resumed: [[TOKEN, [JOB]]], lost: [] })],
  ['a live lease is called lost', 'no stale effect', () => good()
    .tell(30, { event: 'hello', stream: 2, instance: 'instance-a', window: 5, held: [TOKEN] })
    .tell(35, { event: 'welcome', stream: 2, session: 'session-b', ttlMs: TTL_MS, resumed: [], lost: [TOKEN] })],

  ['ACCEPTED, and nothing of it is there', 'true receipts', () => {
    const story = good();
    story.evidence.rows.outcome = [];
    story.evidence.rows.settled = [];
    return story;
  }],
  ['ACCEPTED before the commit', 'true receipts', () => {
    const story = good();
    story.evidence.rows.outcome[0]!.committedAt = 120;
    return story;
  }],
  ['ACCEPTED under a made-up token', 'true receipts', () => good().reported(JOB, 60, 'failed', '10.wrong').told(JOB, 70, 'ACCEPTED', '10.wrong')],
  ['ACCEPTED twice', 'true receipts', () => good().reported(JOB, 95, 'succeeded').told(JOB, 100, 'ACCEPTED')],
  ['ACCEPTED, but something else is on record', 'true receipts', () => {
    const story = good();
    story.evidence.rows.outcome[0]!.state = FAILED;
    return story;
  }],
  ['DUPLICATE of nothing', 'true receipts', () => twoLeases().reported(JOB, 55, 'failed').told(JOB, 58, 'DUPLICATE')],
  ['LEASE_LOST, and it is on record', 'true receipts', () => good().reported(JOB, 95, 'succeeded').told(JOB, 100, 'LEASE_LOST')],
  ['LEASE_LOST while the lease holds it', 'true receipts', () => twoLeases().reported(JOB, 30, 'succeeded').told(JOB, 40, 'LEASE_LOST')],
  ['CANCELLED, and it is not', 'true receipts', () => good().reported(JOB, 95, 'succeeded').told(JOB, 100, 'CANCELLED')],
  ['INVALID without reason', 'true receipts', () => good().reported(JOB, 40, 'succeeded').told(JOB, 50, 'INVALID')],
  ['a receipt for what nobody reported', 'true receipts', () => twoLeases().told(JOB, 40, 'LEASE_LOST')],

  ['a lease runs out while it is promised', 'vouched for', () => {
    const story = twoLeases().tell(15, { event: 'beat', stream: 1, sequence: 1 }).tell(17, { event: 'alive', stream: 1, sequence: 1, validForMs: 3_000 });
    story.evidence.rows.attempt[0]!.endedAt = 50;
    return story;
  }],
  ['a lease runs out right after it was resumed', 'vouched for', () => {
    const story = twoLeases().tell(45, { event: 'hello', stream: 2, instance: 'instance-a', window: 5, held: [TOKEN] })
      .tell(47, { event: 'welcome', stream: 2, session: 'session-b', ttlMs: 3_000, resumed: [[TOKEN, [JOB]]], lost: [] });
    story.evidence.rows.moved.push({ leaseId: LEASE, sessionId: 'session-b', at: 46 });
    story.evidence.rows.attempt[0]!.endedAt = 90;
    story.evidence.rows.dropped[0]!.at = 90;
    return story;
  }],
  ['a worker begins a job after its lease was given up', 'vouched for', () => twoLeases().tell(120, { event: 'start', token: TOKEN, id: JOB, attempt: 1 })],

  ['a payment is in the ledger twice', 'exactly once', () => {
    const story = good({ queue: 'ledger', type: 'pay' });
    story.evidence.rows.ledger.push({ id: JOB, leaseId: LEASE }, { id: JOB, leaseId: LEASE });
    return story;
  }],
  ['a payment that succeeded is not in the ledger', 'exactly once', () => good({ queue: 'ledger', type: 'pay' })],
  ['a payment is in the ledger under a stale lease', 'exactly once', () => {
    const story = good({ queue: 'ledger', type: 'pay' });
    story.evidence.rows.ledger.push({ id: JOB, leaseId: LATER });
    return story;
  }],
  ['a parent that succeeded has no child', 'exactly once', () => good({ queue: 'trouble', type: 'parent', wantsChild: true })],
  ['an order has no job', 'exactly once', () => {
    const story = good().tell(90, { event: 'order', id: OTHER, end: 'commit' }, 'submitter.1');
    story.evidence.rows.orders.push({ id: OTHER });
    return story;
  }],
  ['what was rolled back is there', 'exactly once', () => {
    const story = good().tell(9, { event: 'order', id: JOB, end: 'rollback' }, 'submitter.1');
    story.evidence.rows.orders.push({ id: JOB });
    return story;
  }],

  ['two jobs of a serial key run at a time', 'in order', () => good({ queue: 'serial', serialKey: 'k' }).submitted(OTHER, 16, { queue: 'serial', serialKey: 'k' })
    .done(OTHER, 70, 90, { leaseId: LATER })],
  ['jobs of a serial key run in the wrong order', 'in order', () => good({ queue: 'serial', serialKey: 'k' }).submitted(OTHER, 2, { queue: 'serial', serialKey: 'k' })
    .done(OTHER, 90, 99, { leaseId: LATER })],

  ['too many of a limit key run', 'within limits', () => {
    const story = new Story();
    for (const [index, id] of ['a', 'b', 'c'].entries()) {
      story.submitted(id, index, { queue: 'keyed', limitKey: 'k' }).done(id, 20 + index, 80 + index, { leaseId: String(20 + index) });
    }
    return story;
  }],
  ['too many start at once', 'within limits', () => {
    const story = new Story();
    for (let index = 0; index < 12; index += 1) {
      const id = `job-${index}`;
      story.submitted(id, index, { queue: 'keyed', limitKey: 'k' }).done(id, 100 + 10 * index, 109 + 10 * index, { leaseId: String(20 + index) });
    }
    return story;
  }],
  ['a worker is handed more than its window', 'within limits', () => {
    const story = good();
    const ids = Array.from({ length: 6 }, (_, index) => `job-${index}`);
    for (const [index, id] of ids.entries()) story.submitted(id, index);
    story.evidence.rows.granted.push({ leaseId: LATER, token: LATER_TOKEN, sessionId: SESSION, jobIds: ids, attempts: ids.map(() => 1), at: 30 });
    return story.tell(31, { event: 'lease', stream: 1, token: LATER_TOKEN, queue: 'plain', jobs: ids.map((id) => [id, 1]) });
  }],

  ['a job runs before its time', 'in time', () => good({ runAt: 50 })],
  ['a job runs before the one that it waits for', 'in time', () => good().submitted(OTHER, 12, { afterJobIds: [JOB] }).done(OTHER, 70, 90, { leaseId: LATER })],
  ['a job runs though the one that it waits for was cancelled', 'in time', () => {
    const story = good().submitted(OTHER, 12, { afterJobIds: [JOB] }).done(OTHER, 100, 110, { leaseId: LATER });
    story.evidence.rows.outcome[0]!.state = CANCELLED;
    return story;
  }],
  ['a batch counts wrong', 'in time', () => {
    const story = good({ batchId: 'batch' });
    story.evidence.rows.batch.push({ id: 'batch', finished: true, total: 1, succeeded: 0, failed: 1, cancelled: 0, followUpId: null });
    return story;
  }],
  ['a finished batch has no follow-up', 'in time', () => {
    const story = good({ batchId: 'batch' });
    story.evidence.rows.batch.push({ id: 'batch', finished: true, total: 1, succeeded: 1, failed: 0, cancelled: 0, followUpId: OTHER });
    return story;
  }],

  ['a job is not final at the end', 'nothing stuck', () => good().submitted(OTHER, 12)],
  ['rows are left', 'nothing stuck', () => {
    const story = good();
    story.evidence.rows.left.push({ table: 'gate_holder', count: 1 });
    return story;
  }],

  ['a coordinator ends by itself', 'processes live', () => good()
    .tell(50, { event: 'ended', process: 'coordinator-0', incarnation: 1, code: 1, signalled: [] }, 'lab.1')],
  ['SIGTERM is followed by an error', 'processes live', () => good()
    .tell(50, { event: 'ended', process: 'coordinator-0', incarnation: 1, code: 1, signalled: ['SIGTERM'] }, 'lab.1')],
];

for (const [title, rule, story] of LIES) {
  test(`seen: ${title}`, (t) => {
    const broken = rulesBroken(story());
    t.true(broken.includes(rule), `'${rule}' is not among ${JSON.stringify(broken)}`);
  });
}

test('every rule has a story that breaks it', (t) => {
  const seen = new Set(LIES.map(([, rule]) => rule));
  t.deepEqual(RULES.map(({ name }) => name).filter((name) => !seen.has(name)), []);
});

test('a violation is told with the whole history of its job', (t) => {
  const { evidence } = good().reported(JOB, 95, 'succeeded').told(JOB, 100, 'LEASE_LOST');
  evidence.told.sort((a, b) => a.at - b.at);
  const text = describeVerdict(check(evidence));
  t.regex(text, /VIOLATION of 'true receipts': job job-a worker-0\.1 was told LEASE_LOST/);
  for (const event of ['submit', 'accepted', 'lease', 'start', 'report', 'receipt']) t.true(text.includes(`"event":"${event}"`), event);
  t.true(text.includes('database: lease 10.00000000000000aa holds it as attempt 1'));
});
