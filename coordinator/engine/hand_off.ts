import type { Clock } from '../clock.ts';
import type { HandOffSlot, LevelMark } from '../store/hand_off.ts';
import type { Level } from '../store/levels.ts';
import type { Store } from '../store/store.ts';
import type { SubmitRow } from '../store/submit.ts';
import type { Delivery, GrantedJob } from './deliver.ts';
import type { Levels } from './levels.ts';
import type { QueueCache } from './queue_cache.ts';
import type { Session } from './session.ts';
import type { Subscribers } from './subscribers.ts';
import { newSecret } from './token.ts';
import type { Metrics } from '../observe/metrics.ts';
import type { NewJob, QueueSettings } from '../types.ts';
import { jobBytes } from '../job_bytes.ts';
import { HELD_JOBS_MAX, LEASE_JOBS_MAX } from '../limits.ts';

interface PlannedSlot extends HandOffSlot {
  session: Session;
  queue: QueueSettings;
  bytes: number[];
  /** Set by the commit: the lease that it became; null: its queue was paused, or somebody waited before. */
  leaseId: bigint | null;
}

export interface HandOffPlan {
  /** In the order that the statement asks for: those of the slots, the other ready ones, the scheduled ones. */
  rows: SubmitRow[];
  slots: PlannedSlot[];
  levels: LevelMark[];
}

/**
 * Plans submits straight into the windows of workers that wait. Only for queues that ran dry at the last claim; the
 * statement itself makes sure that nothing waits before and that the queue is neither paused nor limited.
 */
export class HandOff {
  readonly #coordinatorId: string;
  readonly #store: Store;
  readonly #queues: QueueCache;
  readonly #levels: Levels;
  readonly #subscribers: Subscribers;
  readonly #delivery: Delivery;
  readonly #metrics: Metrics;
  readonly #clock: Clock;
  readonly #ambiguous: () => void;
  readonly #heldJobs: () => number;
  /** Until the first scan nobody knows what waits. */
  enabled = false;

  constructor(deps: {
    coordinatorId: string; store: Store; queues: QueueCache; levels: Levels; subscribers: Subscribers; delivery: Delivery;
    metrics: Metrics; clock: Clock; ambiguous: () => void;
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
    this.#heldJobs = deps.heldJobs;
  }

  /** Cuts leases out of a flush, and reserves room for them; undefined: nobody waits for any of it. */
  plan(rows: SubmitRow[]): HandOffPlan | undefined {
    if (!this.enabled || this.#heldJobs() >= HELD_JOBS_MAX) {
      return undefined;
    }
    const { byQueue, scheduled } = grouped(rows);
    const handed: SubmitRow[] = [];
    const ready: SubmitRow[] = [];
    const slots: PlannedSlot[] = [];
    const levels: LevelMark[] = [];
    for (const [queueId, due] of byQueue) {
      const queue = this.#taking(queueId);
      if (queue === undefined) {
        append(ready, due);
        continue;
      }
      const before = handed.length;
      this.#cut(queue, due.sort((a, b) => b.job.priority - a.job.priority), handed, slots);
      append(ready, due, handed.length - before);
      if (handed.length > before) {
        // By now the lowest priority stands last.
        levels.push(...this.#levels.marks(queueId, due.at(-1)!.job.priority).map((mark) => ({ queueId, ...mark })));
      }
    }
    return slots.length === 0 ? undefined : { rows: handed.concat(ready, scheduled), slots, levels };
  }

  /** A queue that jobs may be handed off from: nothing waits in it as far as we know, and somebody serves it. */
  #taking(queueId: number): QueueSettings | undefined {
    const queue = this.#levels.waitingQueueIds.has(queueId) ? undefined : this.#queues.known(queueId);
    return queue === undefined || queue.paused || queue.limited || !this.#subscribers.has(queue.name) ? undefined : queue;
  }

  /** Returns what went to ready after all, its lowest position, and where others were found to wait before it. */
  async commit(plan: HandOffPlan): Promise<{ waiting: SubmitRow[]; positionMin: bigint | null; before: Level[] }> {
    const { leaseIds, positionMin, before } = await this.#store.handOff(this.#coordinatorId, plan.rows, plan.slots, plan.levels);
    const waiting: SubmitRow[] = plan.rows.slice(plan.slots.at(-1)!.last);
    plan.slots.forEach((slot, index) => {
      slot.leaseId = leaseIds[index]!;
      if (slot.leaseId === null) {
        waiting.push(...plan.rows.slice(slot.first - 1, slot.last));
      }
    });
    return { waiting, positionMin, before };
  }

  /** After the commit: the reserved room becomes the leases'. */
  deliver(plan: HandOffPlan): void {
    for (const slot of plan.slots) {
      this.#unreserve(slot);
      if (slot.leaseId !== null) {
        const jobs = plan.rows.slice(slot.first - 1, slot.last).map(({ job }, index) => granted(job, slot.bytes[index]!));
        this.#metrics.handedOffJobs(slot.queue.name, jobs.length);
        this.#metrics.waited(0, jobs.length);
        this.#delivery.deliver(slot.session, slot.queue, { leaseId: slot.leaseId, secret: slot.secret }, jobs);
      }
    }
  }

  /** Nothing was committed, or nobody knows: the room is free again. */
  failed(plan: HandOffPlan, ambiguous: boolean): void {
    plan.slots.forEach((slot) => this.#unreserve(slot));
    if (ambiguous) {
      this.#ambiguous();
    }
  }

  /** Round by round, while there are jobs and room: a lease is no larger than a lease may be, a window may take several. */
  #cut(queue: QueueSettings, rows: SubmitRow[], handed: SubmitRow[], slots: PlannedSlot[]): void {
    const before = handed.length;
    let taken: number;
    do {
      taken = handed.length - before;
      this.#cutOneRound(queue, rows, taken, handed, slots);
    } while (handed.length - before > taken && handed.length - before < rows.length);
  }

  /** An even share for each session that has room, so that no one waits while another has a heap. */
  #cutOneRound(queue: QueueSettings, rows: SubmitRow[], taken: number, handed: SubmitRow[], slots: PlannedSlot[]): void {
    const nowMs = this.#clock.nowMs();
    const takers: Session[] = [];
    for (const session of this.#subscribers.inTurn(queue.name)) {
      if (session.roomJobs(queue.id, queue.name, nowMs) > 0) {
        takers.push(session);
      }
      if (takers.length >= rows.length - taken) {
        break;
      }
    }
    let next = taken;
    takers.forEach((session, index) => {
      const share = Math.ceil((rows.length - next) / (takers.length - index));
      const jobs = Math.min(share, session.roomJobs(queue.id, queue.name, nowMs), queue.leaseJobsMax, LEASE_JOBS_MAX);
      const bytesMax = session.roomBytes();
      const bytes: number[] = [];
      let total = 0;
      while (bytes.length < jobs && next + bytes.length < rows.length) {
        const weight = jobBytes(rows[next + bytes.length]!.job);
        if (total + weight > bytesMax && !(bytes.length === 0 && session.heldJobs === 0)) {
          break;
        }
        total += weight;
        bytes.push(weight);
      }
      if (bytes.length > 0) {
        const first = handed.length + 1;
        append(handed, rows, next, next + bytes.length);
        next += bytes.length;
        session.hold(queue.id, bytes.length, total);
        slots.push({ queueId: queue.id, first, last: handed.length, sessionId: session.id, secret: newSecret(), session, queue, bytes, leaseId: null });
      }
    });
  }

  #unreserve(slot: PlannedSlot): void {
    slot.session.free(slot.queueId, slot.bytes.length, slot.bytes.reduce((sum, bytes) => sum + bytes, 0));
  }
}

/** Due jobs by queue, and the scheduled ones. */
function grouped(rows: SubmitRow[]): { byQueue: Map<number, SubmitRow[]>; scheduled: SubmitRow[] } {
  const byQueue = new Map<number, SubmitRow[]>();
  const scheduled: SubmitRow[] = [];
  let list: SubmitRow[] | undefined;
  let queueId = -1;
  for (const row of rows) {
    if (row.job.runAtMs !== null) {
      scheduled.push(row);
      continue;
    }
    if (row.queueId !== queueId) {
      queueId = row.queueId;
      list = byQueue.get(queueId);
    }
    if (list === undefined) {
      list = [];
      byQueue.set(queueId, list);
    }
    list.push(row);
  }
  return { byQueue, scheduled };
}

function append(to: SubmitRow[], from: SubmitRow[], first = 0, end = from.length): void {
  for (let index = first; index < end; index += 1) {
    to.push(from[index]!);
  }
}

function granted(job: NewJob, bytes: number): GrantedJob {
  return {
    id: job.id, type: job.type, payload: job.payload, contentType: job.contentType, attempt: 1, maxAttempts: job.maxAttempts,
    timeoutMs: job.timeoutMs, headers: job.headers, checkpoint: null, priority: job.priority, bytes,
  };
}
