import type { HeldLease } from './held_lease.ts';
import type { CancelMessage, LeaseMessage, ReceiptMessage } from './messages.ts';
import type { SkipleaseError } from '../errors.ts';

/** One open stream, as the engine sees it. Each send says whether the stream takes more (false: wait for `writable`). */
export interface SessionPort {
  /** The stream has ended, from whichever side: nothing more is written to it. */
  readonly closed: boolean;
  lease(message: LeaseMessage): boolean;
  receipt(message: ReceiptMessage): boolean;
  alive(sequence: number, validForMs: number): boolean;
  cancel(message: CancelMessage): boolean;
  drain(deadlineMs: number): boolean;
  /** Ends the stream: with an error, or in peace. */
  close(error?: SkipleaseError): void;
}

/** What a worker can hold at once. */
export interface WindowSize {
  jobs: number;
  bytes: number;
}

/**
 * Without this, leases fall to pieces: a worker that reports ten jobs is leased ten, and for ever after they travel by the
 * ten (the payments demo: 21 leases for 200 jobs, instead of 4). Costs a worker whose window is no larger than its
 * concurrency up to an eighth of it with jobs of 0.4 s, and less with longer or shorter ones.
 */
const TOP_UP_SHARE = 0.25;
const TOP_UP_MS = 100;

/** One worker's window, and the leases that fill it. Survives a broken stream until it has been silent for a time to live. */
export class Session {
  readonly id: string;
  readonly workerId: string;
  readonly instanceId: string;
  /** Who its worker has proved to be; empty: nobody was asked. */
  readonly identity: string;
  /** Cap by queue name; 0: none of its own. */
  readonly queues: Map<string, number>;
  /** Queues and tokens that its hello named: what it takes up here. */
  readonly named: number;
  /** No lease message may be larger: bytes. */
  readonly leaseBytesMax: number;
  readonly leases = new Map<bigint, HeldLease>();
  /** Leases that its hello named, where that failed: they may stand in its name. */
  perhapsHeld: readonly bigint[] = [];
  window: WindowSize;
  /** undefined: the stream is broken, and the worker has a time to live to come back. */
  port: SessionPort | undefined;
  /** The stream refused a write and has not drained yet: no demand until then. */
  stalled = false;
  /** This coordinator is going away: nothing more is leased. */
  draining = false;
  /** Its worker was asked to go to another coordinator: nothing more is leased until it is gone, or has been given the time to go. */
  moving = false;
  heardMs: number;
  /** Its stream is not read until some of what it said is committed: meanwhile its silence says nothing. */
  unread = false;
  /** Highest lease number that the worker says has arrived. */
  received = 0;
  leaseNumber = 0;
  /** Where its round over the queues stands: the queue served last. */
  lastQueueId = 0;
  heldJobs = 0;
  heldBytes = 0;
  /** It has been given something by the claim that is being put together: then that fills its window, in as many slots as it takes. */
  filling = false;
  /** Until when a little room waits to become more: milliseconds of the process's clock. */
  topUpDueMs: number | undefined;
  readonly #heldByQueue = new Map<number, number>();

  constructor(fields: {
    id: string; workerId: string; instanceId: string; identity: string; queues: Map<string, number>; named?: number; window: WindowSize;
    leaseBytesMax: number; port: SessionPort; nowMs: number;
  }) {
    this.id = fields.id;
    this.workerId = fields.workerId;
    this.instanceId = fields.instanceId;
    this.identity = fields.identity;
    this.queues = fields.queues;
    this.named = fields.named ?? fields.queues.size;
    this.window = fields.window;
    this.leaseBytesMax = fields.leaseBytesMax;
    this.port = fields.port;
    this.heardMs = fields.nowMs;
  }

  /**
   * How many more jobs of this queue may be leased to it now. A worker that is busy is not handed crumbs: room below a
   * quarter of what it may hold waits for more, but no longer than TOP_UP_MS (`topUpDueMs` says until when).
   */
  roomJobs(queueId: number, queueName: string, nowMs: number): number {
    const cap = this.queues.get(queueName);
    if (cap === undefined || !this.takesLeases || this.stalled || this.heldBytes >= this.window.bytes) {
      return 0;
    }
    const held = cap === 0 ? this.heldJobs : (this.#heldByQueue.get(queueId) ?? 0);
    const limit = cap === 0 ? this.window.jobs : Math.min(cap, this.window.jobs);
    const room = Math.min(limit - held, this.window.jobs - this.heldJobs);
    if (room <= 0) {
      return 0;
    }
    if (this.filling || held === 0 || room >= limit * TOP_UP_SHARE) {
      return room;
    }
    this.topUpDueMs ??= nowMs + TOP_UP_MS;
    return nowMs >= this.topUpDueMs ? room : 0;
  }

  /** Its stream is read, or not for a while; from the moment when it is again, its worker has a time to live to say something. */
  listen(on: boolean, nowMs: number): void {
    if (on && this.unread) {
      this.heardMs = nowMs;
    }
    this.unread = !on;
  }

  /** It can be handed something: nobody has sent its worker elsewhere. */
  get takesLeases(): boolean {
    return this.port !== undefined && !this.draining && !this.moving;
  }

  /** What is left of the window's bytes. */
  freeBytes(): number {
    return Math.max(0, this.window.bytes - this.heldBytes);
  }

  /** How many more bytes one lease may carry now. */
  roomBytes(): number {
    return Math.min(this.freeBytes(), this.leaseBytesMax);
  }

  /** Counts jobs into the window: when they are leased, or reserved for a claim under way. */
  hold(queueId: number, jobs: number, bytes: number): void {
    if (jobs > 0) {
      this.topUpDueMs = undefined;
    }
    this.heldJobs += jobs;
    this.heldBytes += bytes;
    this.#heldByQueue.set(queueId, (this.#heldByQueue.get(queueId) ?? 0) + jobs);
  }

  /** Makes room again. */
  free(queueId: number, jobs: number, bytes: number): void {
    this.hold(queueId, -jobs, -bytes);
  }

  /** Jobs of a lease are settled, by whomever: makes room once for each, and forgets the lease after its last. */
  settled(lease: HeldLease, places: readonly number[]): void {
    let jobs = 0;
    let bytes = 0;
    for (const place of places) {
      lease.taken.set(place);
      if (lease.settled.set(place)) {
        jobs += 1;
        bytes += lease.bytes[place]!;
      }
    }
    if (jobs > 0 && this.leases.has(lease.leaseId)) {
      this.free(lease.queueId, jobs, bytes);
      if (lease.settled.full) {
        this.leases.delete(lease.leaseId);
      }
    }
  }

  /** Takes up a lease and counts what is left of it. */
  take(lease: HeldLease): void {
    this.leases.set(lease.leaseId, lease);
    this.hold(lease.queueId, lease.unsettledJobs, lease.unsettledBytes());
  }

  /** The lease is no longer this session's. */
  drop(lease: HeldLease): void {
    if (this.leases.delete(lease.leaseId)) {
      this.free(lease.queueId, lease.unsettledJobs, lease.unsettledBytes());
    }
  }
}
