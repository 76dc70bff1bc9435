import type { AttemptRow, JobFacts, LockedLease, OutcomeRow, ReturnRow } from '../store/settle_carefully.ts';
import { backoffMs } from './backoff.ts';
import { ReceiptStatus } from './messages.ts';
import { JobState, type NewJob, type RetryPolicy } from '../types.ts';

/** What somebody wants to become of a leased job. */
export type Move =
  | { kind: 'succeed'; result: Uint8Array | null; resultType: string | null; followUps: NewJob[] }
  | { kind: 'fail'; code: string; message: string; details: string; permanent: boolean; retryDelayMs: number | null }
  /** Back in line with no attempt spent: handed back, never delivered, or snoozed by its handler. */
  | { kind: 'release'; delayMs: number; snoozed: boolean }
  /** Nobody vouches for the lease any more: that counts as an attempt. */
  | { kind: 'expire' }
  /** It took longer than it may, and its worker did not say so. */
  | { kind: 'time out'; timeoutMs: number };

/**
 * Who says so: the holder of the token (with an identity where that must be the one to whom it was leased); a coordinator, which may speak only for leases still in its own session's name;
 * or whoever finds a coordinator given up.
 */
export type Proof =
  | { secret: bigint; identity?: string }
  | { coordinatorId: string; sessionId: string }
  | { ownerCoordinatorId: string }
  | { deadCoordinatorId: string };

export type Effect = 'succeeded' | 'failed' | 'retried' | 'released' | 'snoozed' | 'expired';

/** The rows that carry out one move. A job that is not given back has ended, by this or, with no rows at all, in SQL before. */
export interface Writes {
  outcome: OutcomeRow | undefined;
  attempt: AttemptRow | undefined;
  returned: ReturnRow | undefined;
  effect: Effect;
}

/** With a `place`: the bit to set there. With none: nothing changes. */
export type Decision =
  | { status: ReceiptStatus; place: undefined; writes: undefined }
  | { status: ReceiptStatus; place: number; writes: Writes };

/** Is the lease what the proof says it is? A coordinator's own moves never touch what was resumed elsewhere meanwhile. */
export function proves(proof: Proof, lease: LockedLease, expiredCoordinatorIds: ReadonlySet<string>): boolean {
  if ('secret' in proof) {
    // A lease of a worker whom nobody asked is anybody's who has its token.
    return proof.secret === lease.secret && (proof.identity === undefined || lease.identity === '' || proof.identity === lease.identity);
  }
  if ('deadCoordinatorId' in proof) {
    return proof.deadCoordinatorId === lease.coordinatorId && expiredCoordinatorIds.has(proof.deadCoordinatorId);
  }
  if ('ownerCoordinatorId' in proof) {
    return proof.ownerCoordinatorId === lease.coordinatorId;
  }
  return proof.coordinatorId === lease.coordinatorId && proof.sessionId === lease.sessionId;
}

/**
 * What becomes of one job, decided under the lock of its lease and from a look taken after it. A job counts only while
 * its bit is clear and it has no outcome: so a stale holder changes nothing, and a repeat is known as one.
 */
export function decide(
  request: { leaseId: bigint; jobId: string; move: Move },
  lease: LockedLease | undefined,
  facts: JobFacts | undefined,
  policy: RetryPolicy,
  random: number,
): Decision {
  const place = lease?.jobIds.indexOf(request.jobId) ?? -1;
  if (facts === undefined) {
    return { status: ReceiptStatus.LEASE_LOST, place: undefined, writes: undefined };
  }
  const before = whatHappened(request.leaseId, facts);
  if (lease === undefined || place < 0) {
    return { status: before, place: undefined, writes: undefined };
  }
  if (lease.settled.has(place)) {
    // Its hold ended with no attempt spent and no outcome, which is what a release asks for.
    const repeated = request.move.kind === 'release' && before === ReceiptStatus.LEASE_LOST && !facts.expiredLeaseIds.includes(request.leaseId);
    return { status: repeated ? ReceiptStatus.DUPLICATE : before, place: undefined, writes: undefined };
  }
  if (facts.outcome !== undefined) {
    // Ended in SQL, which never writes the mask: the bit catches up, so that the lease can go.
    const effect = facts.outcome.state === JobState.SUCCEEDED ? 'succeeded' : 'failed';
    return { status: before, place, writes: { outcome: undefined, attempt: undefined, returned: undefined, effect } };
  }
  return { status: ReceiptStatus.ACCEPTED, place, writes: carryOut(request.move, request.jobId, lease, place, facts, policy, random) };
}

/** What was decided stands for the rest of the flush as if it were on record: a job that is reported twice in it is a duplicate. */
export function remember(facts: JobFacts, leaseId: bigint, { outcome, attempt }: Writes): void {
  if (outcome !== undefined) {
    facts.outcome = { state: outcome.state, leaseId };
  }
  if (attempt !== undefined) {
    (attempt.state === 1 ? facts.attemptLeaseIds : facts.expiredLeaseIds).push(leaseId);
  }
}

function whatHappened(leaseId: bigint, facts: JobFacts): ReceiptStatus {
  if (facts.outcome?.state === JobState.CANCELLED) {
    return ReceiptStatus.CANCELLED;
  }
  // The lease was given up, which its holder did not report: an outcome or attempt in its name says nothing else.
  if (facts.expiredLeaseIds.includes(leaseId)) {
    return ReceiptStatus.LEASE_LOST;
  }
  const ours = facts.outcome?.leaseId === leaseId || facts.attemptLeaseIds.includes(leaseId);
  return ours ? ReceiptStatus.DUPLICATE : ReceiptStatus.LEASE_LOST;
}

function carryOut(move: Move, jobId: string, lease: LockedLease, place: number, facts: JobFacts, policy: RetryPolicy, random: number): Writes {
  const number = lease.attempts[place]!;
  const { leaseId } = lease;
  const back = (attempt: number, delayMs: number): ReturnRow => ({
    jobId, queueId: lease.queueId, bytes: facts.bytes, priority: lease.priorities[place]!, attempt, delayMs, special: facts.special,
    snoozed: move.kind === 'release' && move.snoozed,
  });
  const ended = (state: 4 | 5, result: Uint8Array | null = null, resultType: string | null = null): OutcomeRow => ({
    jobId, leaseId, state, attempt: number, result, resultType,
  });
  const tried = (state: 1 | 2, code: string, message: string, details: string): AttemptRow => ({
    jobId, number, leaseId, state, startedAtMs: lease.grantedAtMs, workerId: lease.workerId, code, message, details,
  });
  const retryMs = () => backoffMs({ ...policy, ...facts.retry }, number, random);
  const last = number >= (facts.maxAttempts ?? policy.maxAttempts);
  switch (move.kind) {
    case 'succeed':
      return { outcome: ended(4, move.result, move.resultType), attempt: undefined, returned: undefined, effect: 'succeeded' };
    case 'release':
      return { outcome: undefined, attempt: undefined, returned: back(number, move.delayMs), effect: move.snoozed ? 'snoozed' : 'released' };
    case 'expire': {
      const attempt = tried(2, 'LEASE_EXPIRED', 'The worker was gone for longer than the lease lives.', '');
      return last
        ? { outcome: ended(5), attempt, returned: undefined, effect: 'expired' }
        : { outcome: undefined, attempt, returned: back(number + 1, 0), effect: 'expired' };
    }
    case 'time out': {
      // Recorded as expired: whatever its worker still reports comes too late.
      const attempt = tried(2, 'TIMEOUT', `It took longer than ${move.timeoutMs} ms.`, '');
      return last
        ? { outcome: ended(5), attempt, returned: undefined, effect: 'failed' }
        : { outcome: undefined, attempt, returned: back(number + 1, retryMs()), effect: 'retried' };
    }
    case 'fail': {
      const attempt = tried(1, move.code, move.message, move.details);
      return last || move.permanent
        ? { outcome: ended(5), attempt, returned: undefined, effect: 'failed' }
        : { outcome: undefined, attempt, returned: back(number + 1, move.retryDelayMs ?? retryMs()), effect: 'retried' };
    }
  }
}
