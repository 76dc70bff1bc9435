import { v7 as uuidv7 } from 'uuid';
import type { Clock } from '../clock.ts';
import { SkipleaseError } from '../errors.ts';
import { SESSION_NAMES_MAX, SESSIONS_MAX } from '../limits.ts';
import type { Metrics } from '../observe/metrics.ts';
import type { EarlierSession, ResumedLease, SessionRow } from '../store/sessions.ts';
import type { Store } from '../store/store.ts';
import { Batcher } from './batcher.ts';
import { HeldLease } from './held_lease.ts';
import type { Mender } from './mender.ts';
import { Session, type SessionPort, type WindowSize } from './session.ts';
import { GROUP_MAX, instanceKey, RETRY_MS, type Sessions } from './sessions.ts';
import type { Standing } from './standing.ts';
import type { Subscribers } from './subscribers.ts';
import { parseToken } from './token.ts';

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

/**
 * Who comes in: a session is put on record, takes up the leases that its worker names, and ends the earlier sessions of the
 * same instance, wherever they were. Hellos that come together share their statements.
 */
export class Hellos {
  readonly #coordinatorId: string;
  readonly #store: Store;
  readonly #mender: Mender;
  readonly #sessions: Sessions;
  readonly #subscribers: Subscribers;
  readonly #standing: Standing;
  readonly #clock: Clock;
  readonly #metrics: Metrics;
  readonly #batcher: Batcher<PendingHello>;
  /** Leases named by hellos that are under way, by session: they may stand in our name already. */
  readonly #named = new Map<string, bigint[]>();
  /** Hellos that are not answered yet. */
  #waiting = 0;
  /** Queues and tokens that those name. */
  #waitingNames = 0;

  constructor(deps: {
    coordinatorId: string; store: Store; mender: Mender; sessions: Sessions; subscribers: Subscribers; standing: Standing; clock: Clock; metrics: Metrics;
  }) {
    this.#coordinatorId = deps.coordinatorId;
    this.#store = deps.store;
    this.#mender = deps.mender;
    this.#sessions = deps.sessions;
    this.#subscribers = deps.subscribers;
    this.#standing = deps.standing;
    this.#clock = deps.clock;
    this.#metrics = deps.metrics;
    this.#batcher = new Batcher((items) => this.#flush(items), GROUP_MAX);
  }

  /** Refused while others may give us up: what is resumed in our name would go with it. */
  hello(hello: HelloRequest, port: SessionPort): Promise<Welcomed> {
    if (this.#standing.validForMs() === 0) {
      return Promise.reject(expiredError());
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
    if (this.#sessions.size + this.#waiting >= SESSIONS_MAX || this.#sessions.names + this.#waitingNames + names > SESSION_NAMES_MAX) {
      return Promise.reject(tooManyError());
    }
    this.#waiting += 1;
    this.#waitingNames += names;
    return new Promise<Welcomed>((resolve, reject) => {
      this.#batcher.add({ hello, row, port, resolve, reject });
    }).finally(() => {
      this.#waiting -= 1;
      this.#waitingNames -= names;
    });
  }

  /** A hello that is under way has named this lease. */
  names(leaseId: bigint): boolean {
    return [...this.#named.values()].some((leaseIds) => leaseIds.includes(leaseId));
  }

  idle(): Promise<void> {
    return this.#batcher.idle();
  }

  async #flush(all: PendingHello[]): Promise<void> {
    const newest = new Map(all.map((item) => [instanceKey(item.row), item]));
    let items = [...newest.values()];
    all.filter((item) => newest.get(instanceKey(item.row)) !== item).forEach((item) => item.reject(replacedError()));
    items.forEach(({ hello, row }) => this.#named.set(row.sessionId, leaseIdsOf(hello)));
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
        this.#sessions.sayGoodbye(row.sessionId);
        reject(replacedError());
      }
      return !port.closed;
    });
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

  /** What these instances held under earlier sessions and did not name goes back free. */
  async #takeOver(items: PendingHello[], earlier: EarlierSession[]): Promise<void> {
    const sessionIds = new Set(items.map(({ row }) => row.sessionId));
    const ended = earlier.filter(({ replacedById }) => sessionIds.has(replacedById));
    items.forEach(({ row }) => this.#sessions.replace(row, replacedError()));
    if (ended.length > 0) {
      for (const { leaseId, sessionId, coordinatorId } of await this.#store.leasesOf(ended)) {
        this.#mender.add({ leaseId, proof: { coordinatorId, sessionId }, moves: { kind: 'release', delayMs: 0, snoozed: false }, done: () => {} });
      }
      await this.#mender.idle();
    }
  }

  #welcome(item: PendingHello, resumed: Map<bigint, ResumedLease>): void {
    const session = this.#open(item);
    const leases: HeldLease[] = [];
    const lostTokens: string[] = [];
    for (const text of new Set(item.hello.heldTokens)) {
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
    this.#sessions.add(session);
    this.#sessions.bind(session);
    this.#subscribers.add(session);
    item.resolve({ session, resumed: leases, lostTokens });
  }

  /**
   * A hello that failed may have moved leases to its session. Its worker has a time to live to come back and name them
   * again; then they are given up, like those of any session that has fallen silent.
   */
  #watch(item: PendingHello): void {
    const session = this.#open(item);
    session.port = undefined;
    session.perhapsHeld = leaseIdsOf(item.hello);
    this.#sessions.add(session);
  }

  #open({ hello, row, port }: PendingHello): Session {
    this.#named.delete(row.sessionId);
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
}

function leaseIdsOf({ heldTokens }: HelloRequest): bigint[] {
  return heldTokens.flatMap((text) => parseToken(text)?.leaseId ?? []);
}

function expiredError(): SkipleaseError {
  return new SkipleaseError('UNAVAILABLE', 'COORDINATOR_EXPIRED',
    'This coordinator has not reached its database for too long. Connect to another one, and name the tokens that are held.',
    { retryAfterMs: RETRY_MS });
}

function replacedError(): SkipleaseError {
  return new SkipleaseError('ABORTED', 'SESSION_REPLACED', 'Another stream of the same instance_id took over.');
}

function tooManyError(): SkipleaseError {
  return new SkipleaseError('RESOURCE_EXHAUSTED', 'TOO_MANY_WORKERS',
    `This coordinator has as many workers as it takes (${SESSIONS_MAX}, with ${SESSION_NAMES_MAX} queues and tokens in all). Connect to another one.`,
    { retryAfterMs: RETRY_MS });
}
