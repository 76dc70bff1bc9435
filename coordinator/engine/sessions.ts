import { v7 as uuidv7 } from 'uuid';
import type { Clock } from '../clock.ts';
import { SkipleaseError } from '../errors.ts';
import { SESSION_NAMES_MAX, SESSIONS_MAX } from '../limits.ts';
import type { Metrics } from '../observe/metrics.ts';
import type { EarlierSession, ResumedLease, SessionRow } from '../store/sessions.ts';
import type { Store } from '../store/store.ts';
import { Batcher } from './batcher.ts';
import type { Move } from './decide.ts';
import { HeldLease } from './held_lease.ts';
import type { Mender } from './mender.ts';
import { CancelReason } from './messages.ts';
import { Session, type SessionPort, type WindowSize } from './session.ts';
import type { Standing } from './standing.ts';
import type { Subscribers } from './subscribers.ts';
import { parseToken } from './token.ts';

/** Hellos and goodbyes of one statement. */
const GROUP_MAX = 500;

/** When to try again, should there be no other coordinator: milliseconds. */
const RETRY_MS = 500;

/** A worker's first words, checked by `rpc/`. */
export interface HelloRequest {
  workerId: string;
  /** Empty: this stream cannot be resumed. */
  instanceId: string;
  /** Who the worker has proved to be; empty: nobody was asked. */
  identity: string;
  queues: Map<string, number>;
  window: WindowSize;
  sdk: string;
  sdkVersion: string;
  heldTokens: string[];
  leaseBytesMax: number;
}

/** What a hello is answered with. */
export interface Welcomed {
  session: Session;
  resumed: HeldLease[];
  lostTokens: string[];
}

interface PendingHello {
  hello: HelloRequest;
  row: SessionRow;
  port: SessionPort;
  resolve: (welcomed: Welcomed) => void;
  reject: (error: unknown) => void;
}

/** Every stream of this coordinator: hello, resume, silence, goodbye. Hellos that come together share their statements. */
export class Sessions {
  readonly #coordinatorId: string;
  readonly #store: Store;
  readonly #mender: Mender;
  readonly #subscribers: Subscribers;
  readonly #standing: Standing;
  readonly #clock: Clock;
  readonly #metrics: Metrics;
  readonly #byId = new Map<string, Session>();
  readonly #byInstance = new Map<string, Session>();
  /** Leases named by hellos that are under way or have failed, by session: they may stand in our name already. */
  readonly #named = new Map<string, bigint[]>();
  readonly #hellos: Batcher<PendingHello>;
  readonly #byes: Batcher<string>;
  /** Hellos that are not answered yet. */
  #greeting = 0;
  /** Queues and tokens that the hellos of all sessions here have named, and of those that are not answered yet. */
  #names = 0;

  constructor(deps: {
    coordinatorId: string; store: Store; mender: Mender; subscribers: Subscribers; standing: Standing; clock: Clock; metrics: Metrics;
  }) {
    this.#coordinatorId = deps.coordinatorId;
    this.#store = deps.store;
    this.#mender = deps.mender;
    this.#subscribers = deps.subscribers;
    this.#standing = deps.standing;
    this.#clock = deps.clock;
    this.#metrics = deps.metrics;
    this.#hellos = new Batcher((items) => this.#flushHellos(items), GROUP_MAX);
    this.#byes = new Batcher((items) => this.#flushByes(items), GROUP_MAX);
  }

  all(): IterableIterator<Session> {
    return this.#byId.values();
  }

  get size(): number {
    return this.#byId.size;
  }

  get(sessionId: string): Session | undefined {
    return this.#byId.get(sessionId);
  }

  /** Refused while others may give us up: what is resumed in our name would go with it. */
  hello(hello: HelloRequest, port: SessionPort): Promise<Welcomed> {
    if (this.#standing.validForMs() === 0) {
      return Promise.reject(new SkipleaseError('UNAVAILABLE', 'COORDINATOR_EXPIRED',
        'This coordinator has not reached its database for too long. Connect to another one, and name the tokens that are held.',
        { retryAfterMs: RETRY_MS }));
    }
    const sessionId = uuidv7();
    const row: SessionRow = {
      sessionId,
      workerId: hello.workerId,
      instanceId: hello.instanceId === '' ? sessionId : hello.instanceId,
      identity: hello.identity,
      queues: [...hello.queues.keys()],
      windowJobs: hello.window.jobs,
      sdk: hello.sdk,
      sdkVersion: hello.sdkVersion,
    };
    const names = hello.queues.size + hello.heldTokens.length;
    if (this.#byId.size + this.#greeting >= SESSIONS_MAX || this.#names + names > SESSION_NAMES_MAX) {
      return Promise.reject(tooManyError());
    }
    this.#greeting += 1;
    this.#names += names;
    return new Promise<Welcomed>((resolve, reject) => {
      this.#hellos.add({ hello, row, port, resolve, reject });
    }).finally(() => {
      this.#greeting -= 1;
      this.#names -= names;
    });
  }

  /** The stream broke: the worker has a time to live, from its last word, to come back here or elsewhere. */
  detach(session: Session): void {
    session.port = undefined;
    session.stalled = false;
    if (this.#byId.get(session.id) === session && session.leases.size === 0 && session.heldJobs === 0) {
      this.#forget(session);
      this.#byes.add(session.id);
    }
  }

  /** Leave-taking: what is unfinished goes back with no attempt spent. */
  leave(session: Session): void {
    session.port = undefined;
    this.#forget(session);
    this.#giveBack(session.id, [...session.leases.keys()]);
    [...session.leases.values()].forEach((lease) => session.drop(lease));
    this.#byes.add(session.id);
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
      this.#named.delete(session.id);
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
    sessions.forEach(({ id }) => this.#byes.add(id));
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

  /** Leases in our name that no session knows of: an ambiguous claim made them. They go back with no attempt spent. */
  known(leaseId: bigint): boolean {
    for (const session of this.#byId.values()) {
      if (session.leases.has(leaseId)) {
        return true;
      }
    }
    return [...this.#named.values()].some((leaseIds) => leaseIds.includes(leaseId));
  }

  async idle(): Promise<void> {
    await this.#hellos.idle();
    await this.#byes.idle();
  }

  async #flushHellos(all: PendingHello[]): Promise<void> {
    const newest = new Map(all.map((item) => [instanceKey(item.row), item]));
    let items = [...newest.values()];
    all.filter((item) => newest.get(instanceKey(item.row)) !== item).forEach((item) => item.reject(replacedError()));
    items.forEach(({ hello, row }) => this.#named.set(row.sessionId, hello.heldTokens.flatMap((text) => parseToken(text)?.leaseId ?? [])));
    try {
      await this.#store.insertSessions(this.#coordinatorId, items.map(({ row }) => row));
      items = this.#stillWaiting(items);
      const { resumed, earlier } = await this.#takeUp(items);
      items = await this.#notReplaced(items);
      await this.#takeOver(items, earlier);
      for (const item of items) {
        this.#welcome(item, resumed);
      }
    } catch (error) {
      this.#metrics.error('HELLO_FAILED');
      for (const item of items) {
        this.#watch(item);
        item.reject(error);
      }
    }
  }

  /** Who has gone while its session was put on record may have said hello elsewhere by now: nothing is taken from there. */
  #stillWaiting(items: PendingHello[]): PendingHello[] {
    return items.filter(({ row, port, reject }) => {
      if (port.closed) {
        this.#named.delete(row.sessionId);
        this.#byes.add(row.sessionId);
        reject(replacedError());
      }
      return !port.closed;
    });
  }

  /** A later hello of the same instance, at another coordinator, has ended this one's session: that one goes on. */
  async #notReplaced(items: PendingHello[]): Promise<PendingHello[]> {
    const gone = new Set(await this.#store.goneSessions(items.map(({ row }) => row.sessionId)));
    return items.filter((item) => {
      if (gone.has(item.row.sessionId)) {
        this.#watch(item);
        item.reject(replacedError());
      }
      return !gone.has(item.row.sessionId);
    });
  }

  /**
   * A hello that failed may have moved leases to its session. Its worker has a time to live to come back and name them
   * again; then they are given up, like those of any session that has fallen silent.
   */
  #watch({ hello, row, port }: PendingHello): void {
    const session = this.#open(hello, row, port);
    session.port = undefined;
    this.#remember(session);
  }

  /** Moves the named leases to the new sessions, the tokens being the proof, and ends the earlier ones of these instances. */
  async #takeUp(items: PendingHello[]): Promise<{ resumed: Map<bigint, ResumedLease>; earlier: EarlierSession[] }> {
    const held = items.flatMap(({ hello, row }) =>
      hello.heldTokens.flatMap((text) => {
        const token = parseToken(text);
        return token === undefined ? [] : [{ ...token, sessionId: row.sessionId, identity: row.identity }];
      }),
    );
    const { leases, earlier } = await this.#store.takeUp(this.#coordinatorId, held, items.map(({ row }) => row));
    return { resumed: new Map(leases.map((lease) => [lease.leaseId, lease])), earlier };
  }

  /** What these instances held under earlier sessions and did not name goes back free. */
  async #takeOver(items: PendingHello[], earlier: EarlierSession[]): Promise<void> {
    const sessionIds = new Set(items.map(({ row }) => row.sessionId));
    const ended = earlier.filter(({ replacedById }) => sessionIds.has(replacedById));
    for (const { row } of items) {
      const replaced = this.#byInstance.get(instanceKey(row));
      if (replaced !== undefined) {
        this.#forget(replaced);
        replaced.port?.close(replacedError());
        replaced.port = undefined;
        // Also where it had ended before, by a hello elsewhere, and was leased more since: nobody else would find that.
        this.#giveBack(replaced.id, [...replaced.leases.keys()]);
      }
    }
    if (ended.length > 0) {
      for (const { leaseId, sessionId, coordinatorId } of await this.#store.leasesOf(ended)) {
        this.#mender.add({ leaseId, proof: { coordinatorId, sessionId }, moves: { kind: 'release', delayMs: 0, snoozed: false }, done: () => {} });
      }
      await this.#mender.idle();
    }
  }

  #welcome({ hello, row, port, resolve }: PendingHello, resumed: Map<bigint, ResumedLease>): void {
    const session = this.#open(hello, row, port);
    const leases: HeldLease[] = [];
    const lostTokens: string[] = [];
    for (const text of new Set(hello.heldTokens)) {
      const token = parseToken(text);
      const lease = token === undefined ? undefined : resumed.get(token.leaseId);
      if (lease === undefined || lease.secret !== token!.secret || lease.settled.full) {
        lostTokens.push(text);
      } else {
        const held = new HeldLease({ ...lease, grantedMs: this.#clock.nowMs() });
        session.take(held);
        leases.push(held);
      }
    }
    this.#named.delete(session.id);
    this.#remember(session);
    this.#byInstance.set(instanceKey(session), session);
    this.#subscribers.add(session);
    resolve({ session, resumed: leases, lostTokens });
  }

  #open(hello: HelloRequest, row: SessionRow, port: SessionPort): Session {
    return new Session({
      id: row.sessionId,
      workerId: row.workerId,
      instanceId: row.instanceId,
      identity: row.identity,
      queues: hello.queues,
      named: hello.queues.size + hello.heldTokens.length,
      window: hello.window,
      leaseBytesMax: hello.leaseBytesMax,
      port,
      nowMs: this.#clock.nowMs(),
    });
  }

  async #flushByes(sessionIds: string[]): Promise<void> {
    try {
      await this.#store.deleteSessions(this.#coordinatorId, sessionIds);
    } catch (error) {
      // The rows go with the coordinator's own, in the end.
      this.#store.log.debug({ err: error }, 'sessions could not be deleted');
    }
  }

  #giveBack(sessionId: string, leaseIds: bigint[]): void {
    for (const leaseId of leaseIds) {
      this.#mender.add({
        leaseId, proof: { coordinatorId: this.#coordinatorId, sessionId }, moves: { kind: 'release', delayMs: 0, snoozed: false }, done: () => {},
      });
    }
  }

  #remember(session: Session): void {
    this.#byId.set(session.id, session);
    this.#names += session.named;
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

/** Who says the instance_id of somebody else is not that instance, and replaces nothing. */
function instanceKey({ identity, instanceId }: { identity: string; instanceId: string }): string {
  return `${identity}\0${instanceId}`;
}

function replacedError(): SkipleaseError {
  return new SkipleaseError('ABORTED', 'SESSION_REPLACED', 'Another stream of the same instance_id took over.');
}

function tooManyError(): SkipleaseError {
  return new SkipleaseError('RESOURCE_EXHAUSTED', 'TOO_MANY_WORKERS',
    `This coordinator has as many workers as it takes (${SESSIONS_MAX}, with ${SESSION_NAMES_MAX} queues and tokens in all). Connect to another one.`,
    { retryAfterMs: RETRY_MS });
}

/** What a worker is told that comes, or stays, while its coordinator stops. */
export function stoppingError(): SkipleaseError {
  return new SkipleaseError('UNAVAILABLE', 'STOPPING', 'This coordinator is stopping. Connect to another one, and name the tokens that are held.',
    { retryAfterMs: RETRY_MS });
}
