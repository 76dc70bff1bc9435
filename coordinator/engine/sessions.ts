import type { Clock } from '../clock.ts';
import { SkipleaseError } from '../errors.ts';
import type { Store } from '../store/store.ts';
import { Batcher } from './batcher.ts';
import type { Move } from './decide.ts';
import type { Mender } from './mender.ts';
import { CancelReason } from './messages.ts';
import type { Session } from './session.ts';
import type { Subscribers } from './subscribers.ts';

/** Hellos, or goodbyes, of one statement. */
export const GROUP_MAX = 500;

/** When to try again, should there be no other coordinator: milliseconds. */
export const RETRY_MS = 500;

/** The sessions of this coordinator from their welcome (`hellos.ts`) on: silence, loss, goodbye. */
export class Sessions {
  readonly #coordinatorId: string;
  readonly #store: Store;
  readonly #mender: Mender;
  readonly #subscribers: Subscribers;
  readonly #clock: Clock;
  readonly #byId = new Map<string, Session>();
  readonly #byInstance = new Map<string, Session>();
  readonly #byes: Batcher<string>;
  /** Queues and tokens that the hellos of all sessions here have named. */
  #names = 0;

  constructor(deps: { coordinatorId: string; store: Store; mender: Mender; subscribers: Subscribers; clock: Clock }) {
    this.#coordinatorId = deps.coordinatorId;
    this.#store = deps.store;
    this.#mender = deps.mender;
    this.#subscribers = deps.subscribers;
    this.#clock = deps.clock;
    this.#byes = new Batcher((items) => this.#flushByes(items), GROUP_MAX);
  }

  all(): IterableIterator<Session> {
    return this.#byId.values();
  }

  get size(): number {
    return this.#byId.size;
  }

  get names(): number {
    return this.#names;
  }

  get(sessionId: string): Session | undefined {
    return this.#byId.get(sessionId);
  }

  add(session: Session): void {
    this.#byId.set(session.id, session);
    this.#names += session.named;
  }

  /** From now on a hello of the same instance replaces this session. */
  bind(session: Session): void {
    this.#byInstance.set(instanceKey(session), session);
  }

  /**
   * Ends the session of this instance, if one is here: what it holds goes back free. Also where it had ended before, by a
   * hello elsewhere, and was leased more since: nobody else would find that.
   */
  replace(instance: Instance, reason: SkipleaseError): void {
    const session = this.#byInstance.get(instanceKey(instance));
    if (session !== undefined) {
      this.#forget(session);
      session.port?.close(reason);
      session.port = undefined;
      this.#giveBack(session);
    }
  }

  /** The stream broke: the worker has a time to live, from its last word, to come back here or elsewhere. */
  detach(session: Session): void {
    session.port = undefined;
    session.stalled = false;
    if (this.#byId.get(session.id) === session && session.leases.size === 0 && session.heldJobs === 0) {
      this.#forget(session);
      this.sayGoodbye(session.id);
    }
  }

  /** Leave-taking: what is unfinished goes back with no attempt spent. */
  leave(session: Session): void {
    session.port = undefined;
    this.#forget(session);
    this.#giveBack(session);
    [...session.leases.values()].forEach((lease) => session.drop(lease));
    this.sayGoodbye(session.id);
  }

  /** Takes a session off the record. */
  sayGoodbye(sessionId: string): void {
    this.#byes.add(sessionId);
  }

  /** The coordinator stops. Streams that are left end; who holds nothing has no session any more, the rest may resume elsewhere. */
  end(): void {
    for (const session of this.#byId.values()) {
      session.port?.close(stoppingError());
      this.detach(session);
    }
  }

  /** Sessions that have been silent for longer than this, though they were listened to. */
  silent(ttlMs: number): Session[] {
    const nowMs = this.#clock.nowMs();
    return [...this.#byId.values()].filter((session) => !session.unread && nowMs - session.heardMs > ttlMs);
  }

  /** Jobs that they hold, all together. */
  get heldJobs(): number {
    let jobs = 0;
    for (const session of this.#byId.values()) {
      jobs += session.heldJobs;
    }
    return jobs;
  }

  /**
   * Nobody vouches for it any more: its jobs go to others, an attempt is spent on each. Where its worker has moved to
   * another coordinator without our hearing of it, what we leased to it meanwhile goes back free.
   */
  async giveUp(silent: Session[], ttlMs: number): Promise<void> {
    const leases = await this.#store.leasesOfSessions(this.#coordinatorId, silent.map(({ id }) => id));
    // Whoever spoke up meanwhile stays.
    const still = new Set(this.silent(ttlMs));
    const sessions = silent.filter((session) => still.has(session));
    for (const session of sessions) {
      this.#forget(session);
      session.port?.close(new SkipleaseError('DEADLINE_EXCEEDED', 'SESSION_SILENT', 'No heartbeat came for the time to live; the leases were given up.'));
      session.port = undefined;
    }
    const ids = new Set(sessions.map(({ id }) => id));
    for (const { leaseId, sessionId, replaced } of leases) {
      if (ids.has(sessionId)) {
        const moves: Move = replaced ? { kind: 'release', delayMs: 0, snoozed: false } : { kind: 'expire' };
        this.#mender.add({ leaseId, proof: { coordinatorId: this.#coordinatorId, sessionId }, moves, done: () => {} });
      }
    }
    await this.#mender.idle();
    sessions.forEach(({ id }) => this.sayGoodbye(id));
  }

  /** Every lease that a session here holds. */
  heldLeaseIds(): bigint[] {
    return [...this.#byId.values()].flatMap((session) => [...session.leases.keys()]);
  }

  /** After our row was given up by others: what they took, our workers must stop working on. */
  dropLost(lost: ReadonlySet<bigint>): void {
    for (const session of this.#byId.values()) {
      for (const lease of session.leases.values()) {
        if (lost.has(lease.leaseId)) {
          session.drop(lease);
          session.port?.cancel({ token: lease.token, jobIds: [], reason: CancelReason.LEASE_LOST, message: 'The lease was given up while its coordinator was away.' });
        }
      }
    }
  }

  /** Others have ended these while we were away: their workers are to connect anew, and name what they hold. */
  dropGone(sessionIds: readonly string[]): void {
    for (const session of sessionIds.map((id) => this.#byId.get(id))) {
      if (session?.port !== undefined) {
        session.port.close(new SkipleaseError('ABORTED', 'SESSION_GIVEN_UP', 'This session was given up while its coordinator was away. Connect again, and name the tokens that are held.'));
        this.detach(session);
      }
    }
  }

  /** A session here holds this lease, or may hold it. */
  holds(leaseId: bigint): boolean {
    for (const session of this.#byId.values()) {
      if (session.leases.has(leaseId) || session.perhapsHeld.includes(leaseId)) {
        return true;
      }
    }
    return false;
  }

  idle(): Promise<void> {
    return this.#byes.idle();
  }

  async #flushByes(sessionIds: string[]): Promise<void> {
    try {
      await this.#store.deleteSessions(this.#coordinatorId, sessionIds);
    } catch (error) {
      // The rows go with the coordinator's own, in the end.
      this.#store.log.debug({ err: error }, 'sessions could not be deleted');
    }
  }

  #giveBack({ id: sessionId, leases }: Session): void {
    for (const leaseId of leases.keys()) {
      this.#mender.add({
        leaseId, proof: { coordinatorId: this.#coordinatorId, sessionId }, moves: { kind: 'release', delayMs: 0, snoozed: false }, done: () => {},
      });
    }
  }

  #forget(session: Session): void {
    if (this.#byId.delete(session.id)) {
      this.#names -= session.named;
    }
    if (this.#byInstance.get(instanceKey(session)) === session) {
      this.#byInstance.delete(instanceKey(session));
    }
    this.#subscribers.remove(session);
  }
}

interface Instance {
  identity: string;
  instanceId: string;
}

/** Who says the instance_id of somebody else is not that instance, and replaces nothing. */
export function instanceKey({ identity, instanceId }: Instance): string {
  return `${identity}\0${instanceId}`;
}

/** What a worker is told that comes, or stays, while its coordinator stops. */
export function stoppingError(): SkipleaseError {
  return new SkipleaseError('UNAVAILABLE', 'STOPPING', 'This coordinator is stopping. Connect to another one, and name the tokens that are held.',
    { retryAfterMs: RETRY_MS });
}
