import type { Clock } from '../clock.ts';
import { HELD_JOBS_MAX, LEASE_JOBS_MAX } from '../limits.ts';
import type { Metrics } from '../observe/metrics.ts';
import type { ClaimedSlot, ClaimQueue, ClaimResult, ClaimSlot } from '../store/claim.ts';
import type { Store } from '../store/store.ts';
import type { Delivery } from './deliver.ts';
import { FullQueues } from './full_queues.ts';
import type { LevelAsk, Levels } from './levels.ts';
import type { QueueCache } from './queue_cache.ts';
import type { Session } from './session.ts';
import type { Subscribers } from './subscribers.ts';
import { newSecret } from './token.ts';
import type { QueueSettings } from '../types.ts';

/** Jobs that one claim takes: a statement of some tens of milliseconds. */
const CLAIM_JOBS_MAX = 2_000;
const CLAIM_SLOTS_MAX = 500;
const CLAIM_QUEUES_MAX = 100;
/** So many take turns with full leases; of more, each is asked for its even share of a claim. */
const FEW_QUEUES = 16;
/** Waiting queues that one claim looks at once it has found one: some are paused, or nobody here serves them. */
const LOOKED_AT_MAX = 1_000;
/**
 * How often claims look back to the trailing marks: twice a second, or less so that no more than a twentieth of the time
 * goes into it, but never later than the maximum. With the claim itself, what was committed below a mark waits two seconds.
 */
const LOOK_BACK_MS = 500;
const LOOK_BACK_MS_MAX = 1_500;
const LOOK_BACK_COST_FACTOR = 20;
/** Where a claim only looks back it expects nothing, or a few that came late. */
const LOOK_BACK_JOBS = 50;
const RETRY_MS_MIN = 50;
const RETRY_MS_MAX = 1_000;
/** Weight of the newest claim in the running mean of a queue's job size. */
const MEAN_WEIGHT = 0.2;

interface Slot extends ClaimSlot {
  session: Session;
}

/** What is wanted of one queue in one claim. */
interface Want extends ClaimQueue {
  queue: QueueSettings;
  levels: LevelAsk[];
  slots: Slot[];
}

/** Gathers the demand of all sessions, claims with one statement, cuts the result into leases: again while there is both. */
export class Dispatcher {
  readonly #coordinatorId: string;
  readonly #store: Store;
  readonly #queues: QueueCache;
  readonly #levels: Levels;
  readonly #subscribers: Subscribers;
  readonly #delivery: Delivery;
  readonly #metrics: Metrics;
  readonly #clock: Clock;
  readonly #ambiguous: () => void;
  readonly #keyedStarts: () => void;
  readonly #heldJobs: () => number;
  readonly #full: FullQueues;
  readonly #meanBytes = new Map<number, number>();
  /** Queues that gave all that was asked of them, and how many jobs to ask of them next: more than their even share. */
  readonly #appetite = new Map<number, number>();
  #running: Promise<void> | undefined;
  #again = false;
  #closed = false;
  #lookBackMs = 0;
  #failures = 0;
  #lookBackTimer: NodeJS.Timeout | undefined;
  #topUpTimer: NodeJS.Timeout | undefined;

  constructor(deps: {
    coordinatorId: string; store: Store; queues: QueueCache; levels: Levels; subscribers: Subscribers; delivery: Delivery;
    metrics: Metrics; clock: Clock; ambiguous: () => void;
    /** Jobs started whose key has a rate: its gate is to hear of it. */
    keyedStarts: () => void;
    /** Of all sessions here. */
    heldJobs: () => number;
  }) {
    this.#coordinatorId = deps.coordinatorId;
    this.#store = deps.store;
    this.#queues = deps.queues;
    this.#levels = deps.levels;
    this.#subscribers = deps.subscribers;
    this.#delivery = deps.delivery;
    this.#metrics = deps.metrics;
    this.#clock = deps.clock;
    this.#ambiguous = deps.ambiguous;
    this.#keyedStarts = deps.keyedStarts;
    this.#heldJobs = deps.heldJobs;
    this.#full = new FullQueues({ clock: deps.clock, room: () => this.wake() });
  }

  /** Something became ready, or somebody has room. */
  wake(): void {
    if (this.#closed) {
      return;
    }
    this.#again = true;
    this.#running ??= this.#run();
  }

  /** Something of a queue with a limit has ended. */
  roomIn(queueId: number): void {
    this.#full.roomIn(queueId);
    this.wake();
  }

  /** No more claims; resolves when the one under way has been delivered. */
  async close(): Promise<void> {
    this.#closed = true;
    clearTimeout(this.#lookBackTimer);
    clearTimeout(this.#topUpTimer);
    this.#full.close();
    await this.#running;
  }

  async #run(): Promise<void> {
    // Reports and hellos of the same turn make their room known first.
    await new Promise(setImmediate);
    while (this.#again && !this.#closed) {
      this.#again = false;
      await this.#claim();
    }
    this.#running = undefined;
  }

  async #claim(): Promise<void> {
    const started = this.#clock.nowMs();
    const lookedBack = started >= this.#lookBackMs && this.#levels.lookBack(started);
    const wants = this.#heldJobs() < HELD_JOBS_MAX ? this.#gather(await this.#openQueues()) : [];
    const limited = wants.filter(({ queue }) => queue.limited);
    if (wants.length > limited.length) {
      await this.#claimOf(wants.filter(({ queue }) => !queue.limited), (of) => this.#store.claim(this.#coordinatorId, of));
    }
    if (limited.length > 0) {
      await this.#claimOf(limited, (of) => this.#claimLimited(of));
    }
    if (lookedBack && wants.length > 0) {
      const nowMs = this.#clock.nowMs();
      this.#nextLookBack(nowMs + Math.min(LOOK_BACK_MS_MAX, Math.max(LOOK_BACK_MS, LOOK_BACK_COST_FACTOR * (nowMs - started))));
    }
  }

  /** No more than may start; queues that are full after it wait for room. */
  async #claimLimited(wants: Want[]): Promise<ClaimResult> {
    const result = await this.#store.claimLimited(this.#coordinatorId, wants);
    result.full.forEach((full, index) => {
      if (full !== undefined) {
        this.#full.add(wants[index]!.queueId, full.tokenDueMs);
      }
    });
    if (wants.some(({ queue }, index) => queue.keyRate && result.slots[index]!.some((slot) => slot?.specials !== undefined))) {
      this.#keyedStarts();
    }
    return result;
  }

  async #claimOf(wants: Want[], claim: (wants: Want[]) => Promise<ClaimResult>): Promise<void> {
    const started = this.#clock.nowMs();
    try {
      const result = await claim(wants);
      this.#failures = 0;
      const nowMs = this.#clock.nowMs();
      const jobs = result.slots.flat().reduce((sum, slot) => sum + (slot?.jobs.length ?? 0), 0);
      this.#metrics.claim((nowMs - started) / 1000, jobs);
      wants.forEach((want, index) => {
        this.#levels.claimed(want.queueId, want.levels, result.marks[index]!, result.short[index]!, nowMs);
        this.#deliver(want, result.slots[index]!);
        this.#learn(want, result.short[index]!);
      });
      // Again while there is progress: jobs went out, or a queue turned out dry. What only the bytes shut out waits for room.
      this.#again ||= jobs > 0 || result.short.some(Boolean);
    } catch (error) {
      wants.forEach((want) => want.slots.forEach((slot) => unreserve(want, slot)));
      this.#failed(error);
    }
  }

  #nextLookBack(atMs: number): void {
    this.#lookBackMs = atMs;
    clearTimeout(this.#lookBackTimer);
    this.#lookBackTimer = this.#clock.after(atMs - this.#clock.nowMs(), () => {
      // Timers may fire a little early: asked for the time again, the claim would find that it is not due.
      this.#lookBackMs = 0;
      this.wake();
    });
  }

  #failed(error: unknown): void {
    this.#failures += 1;
    this.#metrics.error('CLAIM_FAILED');
    this.#store.log.warn({ err: error }, 'a claim failed; it is tried again');
    if (this.#store.isAmbiguous(error)) {
      this.#ambiguous();
    }
    this.#clock.after(Math.min(RETRY_MS_MAX, RETRY_MS_MIN * 2 ** Math.min(this.#failures, 5)), () => this.wake());
  }

  /** Slots for every session that has room, round by round: each session gets a slot of its next queue in turn. */
  #gather(waiting: QueueSettings[]): Want[] {
    const wants = new Map<number, Want>();
    const awaited = waiting.filter(({ id }) => this.#levels.awaits(id)).length;
    const evenShare = awaited <= FEW_QUEUES ? Infinity : Math.ceil(CLAIM_JOBS_MAX / awaited);
    const sessions = [...this.#sessionsInTurn(waiting)];
    const nowMs = this.#clock.nowMs();
    let topUpMs = Infinity;
    let jobs = 0;
    let slots = 0;
    let progress = true;
    while (progress && jobs < CLAIM_JOBS_MAX && slots < CLAIM_SLOTS_MAX) {
      progress = false;
      for (const session of sessions) {
        const queue = nextQueue(session, waiting, nowMs);
        if (queue === undefined) {
          topUpMs = Math.min(topUpMs, session.topUpDueMs ?? Infinity);
          continue;
        }
        const share = this.#levels.awaits(queue.id) ? evenShare : LOOK_BACK_JOBS;
        const asked = Math.max(share, this.#appetite.get(queue.id) ?? 0);
        const slot = this.#slot(session, queue, Math.min(CLAIM_JOBS_MAX - jobs, asked));
        session.lastQueueId = queue.id;
        let want = wants.get(queue.id);
        if (want === undefined) {
          want = { queue, queueId: queue.id, levels: this.#levels.ask(queue.id), slots: [] };
          wants.set(queue.id, want);
        }
        want.slots.push(slot);
        session.hold(queue.id, slot.jobs, slot.bytes);
        session.filling = true;
        jobs += slot.jobs;
        slots += 1;
        progress = true;
        if (jobs >= CLAIM_JOBS_MAX || slots >= CLAIM_SLOTS_MAX) {
          break;
        }
      }
    }
    this.#wakeAt(topUpMs);
    for (const { slots: given } of wants.values()) {
      for (const { session } of given) {
        session.filling = false;
      }
    }
    return [...wants.values()];
  }

  /** Room that is too little now is enough at this moment. */
  #wakeAt(dueMs: number): void {
    clearTimeout(this.#topUpTimer);
    if (dueMs < Infinity) {
      this.#topUpTimer = this.#clock.after(dueMs - this.#clock.nowMs(), () => this.wake());
    }
  }

  /** The next queues in turn that have something waiting, somebody to serve them, and are not known to be paused; by number. */
  async #openQueues(): Promise<QueueSettings[]> {
    const open: QueueSettings[] = [];
    const unknown: number[] = [];
    let lookedAt = 0;
    for (const id of this.#levels.inTurn()) {
      const queue = this.#queues.known(id);
      if (queue === undefined) {
        unknown.push(id);
      } else if (!queue.paused && this.#subscribers.has(queue.name) && !this.#full.has(id)) {
        open.push(queue);
      }
      lookedAt += 1;
      const found = open.length + unknown.length;
      if (found === CLAIM_QUEUES_MAX || (found > 0 && lookedAt >= LOOKED_AT_MAX)) {
        break;
      }
    }
    if (unknown.length > 0) {
      const read = await this.#queues.byIds(unknown).catch(() => new Map<number, QueueSettings>());
      open.push(...[...read.values()].filter((queue) => queue !== undefined && !queue.paused && this.#subscribers.has(queue.name)));
    }
    return open.sort((a, b) => a.id - b.id);
  }

  *#sessionsInTurn(queues: QueueSettings[]): Generator<Session> {
    const seen = new Set<Session>();
    for (const { name } of queues) {
      for (const session of this.#subscribers.inTurn(name)) {
        if (!seen.has(session)) {
          seen.add(session);
          yield session;
        }
      }
    }
  }

  #slot(session: Session, queue: QueueSettings, jobsMax: number): Slot {
    const room = session.roomJobs(queue.id, queue.name, this.#clock.nowMs());
    const mean = this.#meanBytes.get(queue.id) ?? 0;
    const byBytes = mean === 0 ? Infinity : Math.max(1, Math.ceil(session.roomBytes() / mean));
    const jobs = Math.min(room, queue.leaseJobsMax, LEASE_JOBS_MAX, jobsMax, byBytes);
    // A slot of part of the jobs gets that part of the bytes: other slots of this session may stand in the same claim. But
    // no less than its jobs weigh as a rule: where the bytes are what limits them, one slot takes what is left.
    const share = Math.max((session.freeBytes() * jobs) / room, jobs * mean);
    const bytes = Math.min(session.roomBytes(), Math.ceil(share));
    return { session, sessionId: session.id, secret: newSecret(), jobs, bytes, firstAtAnySize: session.heldJobs === 0 };
  }

  #deliver(want: Want, claimed: (ClaimedSlot | undefined)[]): void {
    let count = 0;
    want.slots.forEach((slot, index) => {
      unreserve(want, slot);
      const lease = claimed[index];
      if (lease !== undefined) {
        count += lease.jobs.length;
        this.#delivery.deliver(slot.session, want.queue, { leaseId: lease.leaseId, secret: slot.secret }, lease.jobs, lease.specials);
        const mean = lease.jobs.reduce((sum, job) => sum + job.bytes, 0) / lease.jobs.length;
        this.#meanBytes.set(want.queueId, (this.#meanBytes.get(want.queueId) ?? mean) * (1 - MEAN_WEIGHT) + mean * MEAN_WEIGHT);
        this.#countWaits(lease);
      }
    });
    if (count > 0) {
      this.#metrics.claimedJobs(want.queue.name, count);
    }
  }

  /** A queue that gave all that was asked of it is asked for more the next time. */
  #learn({ queueId, slots }: Want, short: boolean): void {
    const asked = Math.max(...slots.map(({ jobs }) => jobs));
    if (short) {
      this.#appetite.delete(queueId);
    } else {
      this.#appetite.set(queueId, Math.min(LEASE_JOBS_MAX, 2 * asked));
    }
  }

  /** Jobs that were submitted together stand together, and have waited equally long. */
  #countWaits({ jobs }: ClaimedSlot): void {
    let first = 0;
    for (let next = 1; next <= jobs.length; next += 1) {
      if (jobs[next]?.waitedMs !== jobs[first]!.waitedMs) {
        this.#metrics.waited(jobs[first]!.waitedMs / 1000, next - first);
        first = next;
      }
    }
  }
}

/** Room is reserved in the window while a claim is under way; what it really takes is known after it. */
function unreserve(want: Want, slot: Slot): void {
  slot.session.free(want.queueId, slot.jobs, slot.bytes);
}

/** The next queue, in turn, that this session serves and has room for. */
function nextQueue(session: Session, waiting: QueueSettings[], nowMs: number): QueueSettings | undefined {
  let first: QueueSettings | undefined;
  for (const queue of waiting) {
    if (session.roomJobs(queue.id, queue.name, nowMs) > 0) {
      if (queue.id > session.lastQueueId) {
        return queue;
      }
      first ??= queue;
    }
  }
  return first;
}
