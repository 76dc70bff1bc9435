import type { Metrics } from '../observe/metrics.ts';
import type { CancelCommit } from '../store/cancel_jobs.ts';
import type { Level } from '../store/levels.ts';
import type { AfterEnd } from '../store/settle_carefully.ts';
import type { Alarm } from './alarm.ts';
import type { BatchFolder } from './batch_folder.ts';
import type { Cancels } from './cancels.ts';
import type { Dependents } from './dependents.ts';
import type { Dispatcher } from './dispatcher.ts';
import type { CancelledLeasedJob } from './engine.ts';
import type { Gatekeeper } from './gatekeeper.ts';
import type { Hint } from './hint.ts';
import type { Levels } from './levels.ts';
import type { Returned } from './mending.ts';
import type { QueueCache } from './queue_cache.ts';
import type { Submitted } from './submitter.ts';
import type { Wakeups } from './wakeups.ts';

/** Whom a commit may concern. */
interface Concerned {
  dispatcher: Dispatcher;
  cancels: Cancels;
  dependents: Dependents;
  batches: BatchFolder;
  gatekeeper: Gatekeeper;
  promoter: Alarm;
  deadlines: Alarm;
  wakeups: Wakeups;
}

/** What a commit sets going: whoever can go on with what it left behind is woken, here and (by a hint) elsewhere. Nothing here asks the database. */
export class AfterCommits {
  /** Called when jobs have moved. */
  moved: () => void = () => {};
  readonly #coordinatorId: string;
  readonly #queues: QueueCache;
  readonly #levels: Levels;
  readonly #metrics: Metrics;
  readonly #databaseNowMs: () => number;
  #concerned!: Concerned;

  constructor(deps: { coordinatorId: string; queues: QueueCache; levels: Levels; metrics: Metrics; databaseNowMs: () => number }) {
    this.#coordinatorId = deps.coordinatorId;
    this.#queues = deps.queues;
    this.#levels = deps.levels;
    this.#metrics = deps.metrics;
    this.#databaseNowMs = deps.databaseNowMs;
  }

  /** Once, before the first commit: they commit themselves, and are made with this at hand. */
  connect(concerned: Concerned): void {
    this.#concerned = concerned;
  }

  /** Jobs of these levels can be claimed from these positions on. */
  ready(levels: Level[], { tellOthers }: { tellOthers: boolean }): void {
    this.moved();
    if (levels.length === 0) {
      return;
    }
    for (const { queueId, priority, positionMin } of levels) {
      this.#levels.note(queueId, priority, positionMin);
    }
    this.#concerned.dispatcher.wake();
    if (tellOthers) {
      this.#concerned.wakeups.ready(levels);
    }
  }

  /** A job was put into `scheduled`: it is due at this moment of the database's clock. */
  scheduled(runAtMs: number): void {
    this.#concerned.promoter.note(runAtMs);
    this.#concerned.wakeups.scheduled(runAtMs);
  }

  submitted({ ready, runAtMs, startByMs, awaited }: Submitted): void {
    this.ready(ready, { tellOthers: true });
    this.#concerned.dependents.awaits(awaited);
    if (runAtMs !== undefined) {
      this.scheduled(runAtMs);
    }
    if (startByMs !== undefined) {
      this.#concerned.deadlines.note(startByMs);
    }
  }

  /** Jobs of leases went elsewhere than to their end by the fast way. */
  returned({ ready, special, delayMs, runAtMs, awaited }: Returned): void {
    this.gatesMoved();
    this.ready(ready, { tellOthers: true });
    this.#concerned.dependents.awaits(awaited);
    if (special) {
      this.#concerned.batches.soon();
    }
    if (delayMs !== undefined) {
      this.scheduled(this.#databaseNowMs() + delayMs);
    }
    if (runAtMs !== undefined) {
      this.scheduled(runAtMs);
    }
  }

  /** Jobs ended, and perhaps made others ready, or scheduled some that are due now. */
  setGoing({ levels, scheduled }: AfterEnd): void {
    this.#concerned.batches.soon();
    this.gatesMoved();
    this.ready(levels, { tellOthers: true });
    if (scheduled) {
      this.scheduled(this.#databaseNowMs());
    }
  }

  /** Their workers are told, whichever coordinator holds the streams, and those that wait for them. */
  jobsCancelled({ cancelled, leased, queues, wake }: CancelCommit, reason: string): void {
    this.moved();
    this.#stopWork(leased.map((job) => ({ ...job, reason })));
    this.setGoing(wake);
    this.#concerned.dependents.ended(cancelled);
    queues.forEach((count, queue) => this.#metrics.completedJobs(queue, 'cancelled', count));
  }

  queuesChanged(queueIds: number[]): void {
    this.moved();
    this.#concerned.wakeups.queuesChanged(queueIds);
    void this.#refreshQueues(queueIds);
  }

  /** Jobs came to gates, or left them: where buckets are, one may be due. */
  gatesMoved(): void {
    if (this.#queues.keyRates) {
      this.#concerned.gatekeeper.soon();
    }
  }

  /** Jobs of this queue run no more: where it has a limit, others may. */
  roomIn(queueId: number): void {
    if (this.#queues.known(queueId)?.limited === true) {
      this.#concerned.dispatcher.roomIn(queueId);
      this.#concerned.wakeups.roomIn(queueId);
    }
  }

  /** What another coordinator has committed. */
  heard(hint: Hint): void {
    this.ready((hint.ready ?? []).map(([queueId, priority, position]) => ({ queueId, priority, positionMin: BigInt(position) })), { tellOthers: false });
    if (hint.runAtMs !== undefined) {
      this.#concerned.promoter.note(hint.runAtMs);
    }
    if (hint.awaited !== undefined) {
      this.#concerned.dependents.heard({ min: hint.awaited[0], max: hint.awaited[1] });
    }
    if (hint.queues !== undefined) {
      void this.#refreshQueues(hint.queues);
    }
    hint.room?.forEach((queueId) => this.#concerned.dispatcher.roomIn(queueId));
    if (hint.cancelled !== undefined) {
      this.#concerned.cancels.tell(hint.cancelled.map(([sessionId, leaseId, jobId, reason]) => ({ sessionId, leaseId, jobId, reason })));
    }
  }

  #stopWork(jobs: CancelledLeasedJob[]): void {
    this.#concerned.cancels.tell(jobs.filter(({ coordinatorId }) => coordinatorId === this.#coordinatorId));
    const elsewhere = jobs.filter(({ coordinatorId }) => coordinatorId !== this.#coordinatorId);
    if (elsewhere.length > 0) {
      this.#concerned.wakeups.cancelled(elsewhere);
    }
  }

  async #refreshQueues(queueIds: number[]): Promise<void> {
    // Should the database be away: they are forgotten now, and read when a claim next needs them.
    await this.#queues.refresh(queueIds).catch(() => {});
    this.#levels.wake(queueIds);
    this.#concerned.dispatcher.wake();
  }
}
