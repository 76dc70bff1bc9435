/** What becomes of one job under the lock of its lease: who may say so, what is written, and what the receipt says. */
import test from 'ava';
import { Bits } from '../../coordinator/bits.ts';
import { decide, proves, remember, type Move } from '../../coordinator/engine/decide.ts';
import { ReceiptStatus } from '../../coordinator/engine/messages.ts';
import type { JobFacts, LockedLease } from '../../coordinator/store/settle_carefully.ts';
import type { RetryPolicy } from '../../coordinator/types.ts';

const { ACCEPTED, DUPLICATE, LEASE_LOST, CANCELLED } = ReceiptStatus;
const POLICY: RetryPolicy = { maxAttempts: 3, initialMs: 1_000, factor: 2, maxMs: 60_000, jitter: 0 };
const SUCCEED: Move = { kind: 'succeed', result: Buffer.from('r'), resultType: 'text/plain', followUps: [] };
const FAIL: Move = { kind: 'fail', code: 'C', message: 'm', details: 'd', permanent: false, retryDelayMs: null };

function leaseOf(fields: Partial<LockedLease> = {}): LockedLease {
  return {
    leaseId: 7n, secret: 42n, queueId: 1, sessionId: 's', coordinatorId: 'c', workerId: 'w', identity: '', grantedAtMs: 5, jobIds: ['a', 'b'], attempts: [1, 3],
    priorities: [0, 9], settled: new Bits(2), special: false, ...fields,
  };
}

function factsOf(fields: Partial<JobFacts> = {}): JobFacts {
  return { queueId: 1, maxAttempts: null, retry: undefined, special: false, bytes: 400, outcome: undefined, attemptLeaseIds: [], expiredLeaseIds: [], ...fields };
}

const settledAt = (place: number) => {
  const bits = new Bits(2);
  bits.set(place);
  return bits;
};
const of = (move: Move, lease: LockedLease | undefined, facts: JobFacts | undefined, jobId = 'a') => decide({ leaseId: 7n, jobId, move }, lease, facts, POLICY, 0.5);
const status = (...args: Parameters<typeof of>) => of(...args).status;

test('a token proves a hold by its secret, whoever brings it', (t) => {
  t.true(proves({ secret: 42n }, leaseOf({ coordinatorId: 'another', sessionId: 'another' }), new Set()));
  t.false(proves({ secret: 43n }, leaseOf(), new Set()));
});

test('a coordinator speaks only for leases that still stand in the name of its own session', (t) => {
  t.true(proves({ coordinatorId: 'c', sessionId: 's' }, leaseOf(), new Set()));
  t.false(proves({ coordinatorId: 'c', sessionId: 's' }, leaseOf({ sessionId: 'resumed' }), new Set()));
  t.false(proves({ coordinatorId: 'c', sessionId: 's' }, leaseOf({ coordinatorId: 'elsewhere' }), new Set()));
  t.true(proves({ ownerCoordinatorId: 'c' }, leaseOf(), new Set()));
  t.false(proves({ ownerCoordinatorId: 'c' }, leaseOf({ coordinatorId: 'elsewhere' }), new Set()));
});

test('for a dead one somebody else speaks, if its row is still expired under our lock and the lease is still its own', (t) => {
  t.true(proves({ deadCoordinatorId: 'c' }, leaseOf(), new Set(['c'])));
  t.false(proves({ deadCoordinatorId: 'c' }, leaseOf(), new Set()), 'it came back');
  t.false(proves({ deadCoordinatorId: 'c' }, leaseOf({ coordinatorId: 'elsewhere' }), new Set(['c'])), 'its worker resumed elsewhere');
});

test('a success ends the job; its bit is set', (t) => {
  const { status: receipt, place, writes } = of(SUCCEED, leaseOf(), factsOf());
  t.deepEqual([receipt, place], [ACCEPTED, 0]);
  t.deepEqual(writes, {
    outcome: { jobId: 'a', leaseId: 7n, state: 4, attempt: 1, result: Buffer.from('r'), resultType: 'text/plain' },
    attempt: undefined, returned: undefined, effect: 'succeeded',
  });
});

test('a failed attempt is kept, and the job comes back for the next one, after its backoff', (t) => {
  const { writes } = of(FAIL, leaseOf(), factsOf());
  t.deepEqual(writes!.returned, { jobId: 'a', queueId: 1, bytes: 400, priority: 0, attempt: 2, special: false, snoozed: false, delayMs: 1_000 });
  t.deepEqual(writes!.attempt, { jobId: 'a', number: 1, leaseId: 7n, state: 1, startedAtMs: 5, workerId: 'w', code: 'C', message: 'm', details: 'd' });
  t.is(writes!.outcome, undefined);
  t.is(of({ ...FAIL, retryDelayMs: 0 }, leaseOf(), factsOf()).writes!.returned!.delayMs, 0, 'the worker\'s own delay goes first');
});

test('a job with a retry policy of its own backs off by it, and by its queue\'s in what it leaves out', (t) => {
  const delayMs = (retry: JobFacts['retry'], number: number) => of(FAIL, leaseOf({ attempts: [number, 1] }), factsOf({ maxAttempts: 1_000, retry })).writes!.returned!.delayMs;
  t.is(delayMs({ initialMs: 10 }, 1), 10);
  t.is(delayMs({ initialMs: 10 }, 3), 40);
  t.is(delayMs({ factor: 3 }, 3), 9_000);
  t.is(delayMs({ maxMs: 5_000 }, 20), 5_000);
  t.is(delayMs({ jitter: 1 }, 1), 1_000, 'in the middle of the spread');
  t.is(delayMs(undefined, 20), 60_000);
});

test('the last attempt that fails or expires ends the job, and is kept all the same', (t) => {
  for (const [move, effect] of [[FAIL, 'failed'], [{ kind: 'expire' } as Move, 'expired']] as const) {
    const { writes } = of(move, leaseOf(), factsOf(), 'b');
    t.deepEqual([writes!.outcome!.state, writes!.outcome!.attempt, writes!.attempt!.number, writes!.returned, writes!.effect], [5, 3, 3, undefined, effect]);
  }
  t.is(of(FAIL, leaseOf(), factsOf({ maxAttempts: 1 })).writes!.effect, 'failed', 'the job\'s own number goes before its queue\'s');
  t.is(of(FAIL, leaseOf(), factsOf({ maxAttempts: 9 }), 'b').writes!.effect, 'retried');
  t.is(of({ ...FAIL, permanent: true }, leaseOf(), factsOf()).writes!.effect, 'failed');
});

test('an expiry spends an attempt and gives the job back at once; a release spends none', (t) => {
  const expired = of({ kind: 'expire' }, leaseOf(), factsOf()).writes!;
  t.deepEqual([expired.attempt!.state, expired.attempt!.code, expired.returned!.attempt, expired.returned!.delayMs], [2, 'LEASE_EXPIRED', 2, 0]);
  const released = of({ kind: 'release', delayMs: 5, snoozed: false }, leaseOf(), factsOf()).writes!;
  t.deepEqual([released.attempt, released.returned!.attempt, released.returned!.delayMs, released.effect], [undefined, 1, 5, 'released']);
  t.is(of({ kind: 'release', delayMs: 5, snoozed: true }, leaseOf(), factsOf()).writes!.effect, 'snoozed');
});

test('a job whose bit is set is not touched again, whatever is said of it', (t) => {
  const lease = leaseOf({ settled: settledAt(0) });
  for (const move of [SUCCEED, FAIL, { kind: 'expire' } as Move]) {
    const { status: receipt, place, writes } = of(move, lease, factsOf());
    t.deepEqual([receipt, place, writes], [LEASE_LOST, undefined, undefined]);
  }
  t.is(status(FAIL, lease, factsOf({ attemptLeaseIds: [7n] })), DUPLICATE, 'it failed under this very lease');
  t.is(status(SUCCEED, lease, factsOf({ outcome: { state: 4, leaseId: 7n } })), DUPLICATE);
  t.is(status(SUCCEED, lease, factsOf({ outcome: { state: 4, leaseId: 8n } })), LEASE_LOST, 'somebody else ended it');
  t.is(status(SUCCEED, lease, factsOf({ outcome: { state: 6, leaseId: null } })), CANCELLED);
  t.is(status({ kind: 'release', delayMs: 0, snoozed: false }, lease, factsOf()), DUPLICATE, 'what it asks for has happened');
  t.is(status({ kind: 'release', delayMs: 0, snoozed: false }, lease, factsOf({ expiredLeaseIds: [7n] })), LEASE_LOST, 'an expiry is no release: an attempt was spent');
});

test('with the lease gone, or not proven, what is on record under its id says what became of it', (t) => {
  t.is(status(SUCCEED, undefined, factsOf()), LEASE_LOST);
  t.is(status(SUCCEED, undefined, factsOf({ outcome: { state: 4, leaseId: 7n } })), DUPLICATE);
  t.is(status(FAIL, undefined, factsOf({ attemptLeaseIds: [3n, 7n] })), DUPLICATE);
  t.is(status(FAIL, undefined, factsOf({ attemptLeaseIds: [3n] })), LEASE_LOST);
  t.is(status(SUCCEED, undefined, factsOf({ expiredLeaseIds: [7n], outcome: { state: 5, leaseId: 7n } })), LEASE_LOST, 'nobody reported an expiry');
  t.is(status(SUCCEED, undefined, factsOf({ outcome: { state: 6, leaseId: 7n } })), CANCELLED);
  t.is(status({ kind: 'release', delayMs: 0, snoozed: false }, undefined, factsOf()), LEASE_LOST);
});

test('a job that is not in the lease, or does not exist, is lost', (t) => {
  t.is(status(SUCCEED, leaseOf(), factsOf(), 'stranger'), LEASE_LOST);
  t.is(status(SUCCEED, leaseOf(), undefined), LEASE_LOST);
});

test('an outcome that came from elsewhere sets the bit and writes nothing else', (t) => {
  const { status: receipt, place, writes } = of(FAIL, leaseOf(), factsOf({ outcome: { state: 4, leaseId: 7n } }));
  t.deepEqual([receipt, place, writes], [DUPLICATE, 0, { outcome: undefined, attempt: undefined, returned: undefined, effect: 'succeeded' }]);
});

test('what was decided is on record for the rest of the flush', (t) => {
  for (const [move, repeat] of [[SUCCEED, DUPLICATE], [FAIL, DUPLICATE], [{ kind: 'expire' } as Move, LEASE_LOST]] as const) {
    const lease = leaseOf();
    const facts = factsOf();
    const first = of(move, lease, facts);
    lease.settled.set(first.place!);
    remember(facts, 7n, first.writes!);
    t.is(status(SUCCEED, lease, facts), repeat);
  }
});
