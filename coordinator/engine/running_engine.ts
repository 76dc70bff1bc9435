import { setTimeout as delay } from 'node:timers/promises';
import { v7 as uuidv7 } from 'uuid';
import { systemClock } from '../clock.ts';
import { PROMOTE_JOBS_MAX, STATEMENT_TIMEOUT_MS } from '../limits.ts';
import type { SkipleaseError } from '../errors.ts';
import type { Metrics } from '../observe/metrics.ts';
import type { QueueSample } from '../observe/queue_gauges.ts';
import type { CancelCommit } from '../store/cancel_jobs.ts';
import type { Store } from '../store/store.ts';
import type { ClientLimits } from './admission.ts';
import { AfterCommits } from './after_commits.ts';
import { Alarm, type AlarmRound } from './alarm.ts';
import { BatchFolder } from './batch_folder.ts';
import { Cancels } from './cancels.ts';
import { Delivery } from './deliver.ts';
import { Dependents } from './dependents.ts';
import { Dispatcher } from './dispatcher.ts';
import type { Engine, SubmitAnswer } from './engine.ts';
import { Gatekeeper } from './gatekeeper.ts';
import { Guard, type Condition } from './guard.ts';
import { HandOff } from './hand_off.ts';
import { Hellos } from './hellos.ts';
import { readHint } from './hint.ts';
import { Housekeeping } from './housekeeping.ts';
import { Levels } from './levels.ts';
import { Mender } from './mender.ts';
import { ProgressWriter } from './progress_writer.ts';
import { Pulse } from './pulse.ts';
import { QueueCache } from './queue_cache.ts';
import { Reaper } from './reaper.ts';
import { Rebalancer } from './rebalancer.ts';
import { Retirer } from './retirer.ts';
import { Sessions } from './sessions.ts';
import { Settler } from './settler.ts';
import { Standing } from './standing.ts';
import { Submitter } from './submitter.ts';
import { Subscribers } from './subscribers.ts';
import { Sweeper } from './sweeper.ts';
import { Ticker, type CancelJobs, type TickedJob } from './ticker.ts';
import type { NewJob, QueueSettings } from '../types.ts';
import type { Line, OpenLine } from '../wakeups/line.ts';
import { Timeouts } from './timeouts.ts';
import { Wakeups } from './wakeups.ts';

/** How long a stop waits for the commit of what workers have reported: milliseconds, a little more than a statement may last. */
const LAST_REPORTS_MS = STATEMENT_TIMEOUT_MS + 1_000;

/** What the engine needs from `main`. Times in milliseconds. */
export interface EngineOptions {
  store: Store;
  metrics: Metrics;
  leaseTtlMs: number;
  tickMs: number;
  /** How others reach this coordinator. */
  address: string;
  drainDeadlineMs: number;
  clientLimits: ClientLimits;
  /** How often it is looked whether workers should move to another coordinator; 0: never. */
  rebalanceMs: number;
  cancelJobs: CancelJobs;
  /** Reads and checks what a schedule submits. */
  readJob(job: TickedJob): NewJob;
  /** Opens the line to the other coordinators. */
  openLine: OpenLine;
}

/** The engine with what the lease stream asks of it. */
export class RunningEngine implements Engine {
  readonly coordinatorId = uuidv7();
  readonly leaseTtlMs: number;
  readonly standing: Standing;
  readonly sessions: Sessions;
  readonly hellos: Hellos;
  readonly settler: Settler;
  readonly progress: ProgressWriter;
  readonly queues: QueueCache;
  readonly #options: EngineOptions;
  readonly #store: Store;
  readonly #after: AfterCommits;
  readonly #mender: Mender;
  readonly #submitter: Submitter;
  readonly #dispatcher: Dispatcher;
  readonly #cancels: Cancels;
  readonly #promoter: Alarm;
  readonly #deadlines: Alarm;
  readonly #ticker: Ticker;
  readonly #dependents: Dependents;
  readonly #batches: BatchFolder;
  readonly #gatekeeper: Gatekeeper;
  readonly #wakeups: Wakeups;
  readonly #line: Line;
  readonly #sweeper: Sweeper;
  readonly #pulse: Pulse;
  readonly #housekeeping: Housekeeping;
  readonly #guard: Guard;
  readonly #retirer: Retirer;
  readonly #rebalancer: Rebalancer;
  #stopping = false;

  constructor(options: EngineOptions) {
    const { store, metrics } = options;
    const clock = systemClock;
    const { coordinatorId } = this;
    this.#options = options;
    this.#store = store;
    this.leaseTtlMs = options.leaseTtlMs;
    this.standing = new Standing(options.leaseTtlMs, clock);
    this.queues = new QueueCache(store);
    const subscribers = new Subscribers();
    const sweeper = new Sweeper(store);
    this.#sweeper = sweeper;
    const ambiguous = () => this.#housekeeping.auditSoon();
    const roomMade = () => this.#dispatcher.wake();
    const levels = new Levels();
    const after = new AfterCommits({ coordinatorId, queues: this.queues, levels, metrics, databaseNowMs: () => this.nowMs() });
    this.#after = after;
    const moved = () => after.moved();
    const settled = () => {
      roomMade();
      moved();
    };
    const ended = (jobs: readonly { jobId: string }[]) => this.#dependents.ended(jobs);
    const roomIn = (queueId: number) => after.roomIn(queueId);
    const heldJobs = () => this.sessions.heldJobs;
    this.#mender = new Mender({
      store, queues: this.queues, metrics, clock, sweeper, ttlMs: options.leaseTtlMs, returned: (returned) => after.returned(returned), ended, roomIn,
    });
    const delivery = new Delivery({ coordinatorId, mender: this.#mender, clock, moved });
    const handOff = new HandOff({ coordinatorId, store, queues: this.queues, levels, subscribers, delivery, metrics, clock, ambiguous, heldJobs });
    this.#submitter = new Submitter({
      store, queues: this.queues, handOff, metrics, clock, clientLimits: options.clientLimits, submitted: (submitted) => after.submitted(submitted),
      specialSubmitted: () => after.gatesMoved(), replaced: ({ replaced, wake }) => {
        after.setGoing(wake);
        ended([...replaced.values()].map((jobId) => ({ jobId })));
      },
    });
    this.#dispatcher = new Dispatcher({
      coordinatorId, store, queues: this.queues, levels, subscribers, delivery, metrics, clock, ambiguous,
      keyedStarts: () => this.#gatekeeper.soon(), heldJobs,
    });
    this.sessions = new Sessions({ coordinatorId, store, mender: this.#mender, subscribers, clock });
    this.hellos = new Hellos({
      coordinatorId, store, mender: this.#mender, sessions: this.sessions, subscribers, standing: this.standing, clock, metrics,
    });
    this.#cancels = new Cancels({ coordinatorId, store, sessions: this.sessions, roomMade });
    this.settler = new Settler({
      store, mender: this.#mender, metrics, clock, queues: this.queues, sweeper, roomMade: settled, ended, roomIn, counted: () => this.#batches.soon(),
    });
    this.progress = new ProgressWriter({ store, clock, written: moved });
    const alarm = (what: string, work: () => Promise<AlarmRound>) => new Alarm({ work, what, databaseNowMs: () => this.nowMs(), clock, log: store.log });
    this.#promoter = alarm('due jobs could not be promoted', () => this.#promote());
    this.#deadlines = alarm('jobs could not be expired', () => this.expireStarts());
    this.#batches = new BatchFolder({ store, clock, followUps: () => after.scheduled(this.nowMs()) });
    this.#gatekeeper = new Gatekeeper({
      store, databaseNowMs: () => this.nowMs(), clock, letIn: (found) => after.ready(found, { tellOthers: true }),
    });
    this.#ticker = new Ticker({
      store, databaseNowMs: () => this.nowMs(), clock, queues: this.queues, metrics,
      readJob: (job) => options.readJob(job),
      cancel: (jobId, reason) => this.#cancel(jobId, reason),
      ready: (found) => after.ready(found, { tellOthers: true }),
    });
    this.#line = options.openLine((payload) => this.#hint(payload), () => {
      this.#housekeeping.scanSoon();
      this.#wakeups.sayWhatWasLost();
    });
    this.#wakeups = new Wakeups({ coordinatorId, line: this.#line, clock, log: store.log, ttlMs: options.leaseTtlMs });
    this.#dependents = new Dependents({
      store, queues: this.queues, metrics, clock, setGoing: (wake) => after.setGoing(wake), tellOthers: (range) => this.#wakeups.awaited(range),
    });
    const reaper = new Reaper({
      coordinatorId, ttlMs: options.leaseTtlMs, store, sessions: this.sessions, mender: this.#mender, standing: this.standing,
    });
    this.#guard = new Guard({ store, metrics, clock, databaseNowMs: () => this.nowMs() });
    this.#retirer = new Retirer({ store, metrics, clock, databaseNowMs: () => this.nowMs() });
    this.#rebalancer = new Rebalancer({ intervalMs: options.rebalanceMs, store, sessions: this.sessions, clock, roomMade });
    this.#housekeeping = new Housekeeping({
      coordinatorId,
      standing: this.standing,
      store,
      sessions: this.sessions,
      hellos: this.hellos,
      cancels: this.#cancels,
      mender: this.#mender,
      sweeper,
      reaper,
      wakeups: this.#wakeups,
      line: this.#line,
      clock,
      promoter: this.#promoter,
      deadlines: this.#deadlines,
      timeouts: new Timeouts({ coordinatorId, sessions: this.sessions, mender: this.#mender, clock, roomMade }),
      ticker: this.#ticker,
      gatekeeper: this.#gatekeeper,
      queues: this.queues,
      guard: this.#guard,
      retirer: this.#retirer,
      rebalancer: this.#rebalancer,
      found: (found) => {
        handOff.enabled = true;
        after.ready(found, { tellOthers: false });
      },
    });
    after.connect({
      dispatcher: this.#dispatcher, cancels: this.#cancels, dependents: this.#dependents, batches: this.#batches, gatekeeper: this.#gatekeeper,
      promoter: this.#promoter, deadlines: this.#deadlines, wakeups: this.#wakeups,
    });
    this.#pulse = new Pulse({
      coordinatorId, address: options.address, ttlMs: options.leaseTtlMs, tickMs: options.tickMs, store, standing: this.standing, clock, metrics,
      took: (ms) => this.#guard.beat(ms),
      beaten: (beat) => {
        this.#batches.soon();
        return this.#housekeeping.tick(beat);
      },
    });
    metrics.readGaugesFrom({
      sessions: () => this.sessions.size,
      windowJobs: () => [...this.sessions.all()].reduce((sum, session) => sum + session.window.jobs, 0),
      heldJobs,
      queues: () => this.queueDepths(),
    });
  }

  /** Depths for the metrics' gauges; `main` sets it to the store's collector. */
  queueDepths: () => Promise<QueueSample[]> = () => Promise.resolve([]);

  get onMoved(): () => void {
    return this.#after.moved;
  }

  set onMoved(moved: () => void) {
    this.#after.moved = moved;
  }

  /** Ends jobs that were not started in time; `main` sets it to the store's. */
  expireStarts: () => Promise<AlarmRound> = () => Promise.resolve({ again: false, nextDueMs: null });

  async start(): Promise<void> {
    await this.#pulse.start();
    await this.#line.listen();
    this.#wakeups.greet();
    await this.#housekeeping.scan();
    this.#dependents.start();
  }

  submit(jobs: NewJob[], client = ''): Promise<SubmitAnswer> {
    return this.#submitter.submit(jobs, client);
  }

  submitRefusal(client: string): SkipleaseError | undefined {
    return this.#submitter.refusal(client);
  }

  wantsSubmits(client: string): boolean {
    return this.#submitter.wantsMore(client);
  }

  nowMs(): number {
    return this.standing.databaseNowMs();
  }

  /** What slows every queue down, as far as this coordinator sees. */
  get conditions(): Condition[] {
    return this.#guard.conditions;
  }

  queue(name: string): Promise<QueueSettings> {
    return this.queues.byName(name);
  }

  queuesChanged(queueIds: number[]): void {
    this.#after.queuesChanged(queueIds);
  }

  reviewLimits(queueId: number): Promise<void> {
    return this.#gatekeeper.review(queueId);
  }

  jobsCancelled(commit: CancelCommit, reason: string): void {
    this.#after.jobsCancelled(commit, reason);
  }

  batchesChanged(): void {
    this.#batches.soon();
  }

  scheduleChanged(nextTickMs: number): void {
    this.#ticker.note(nextTickMs);
  }

  scheduled(runAtMs: number): void {
    this.#after.scheduled(runAtMs);
  }

  /** A stream takes writes again, or a window grew. */
  roomMade(): void {
    this.#dispatcher.wake();
  }

  /** It is going away: nobody new comes in. */
  get stopping(): boolean {
    return this.#stopping;
  }

  /**
   * What it remembers is not true any more: it lets go of everything, and asks the database for nothing. Workers are to come
   * again, with what they hold.
   */
  async abandon(): Promise<void> {
    this.settler.close();
    this.#mender.close();
    await this.#store.close();
    await this.stop(0);
  }

  /** Tells every worker to go elsewhere, waits for them until the deadline, commits what they have reported, leaves. */
  async stop(deadlineMs = this.#options.drainDeadlineMs): Promise<void> {
    this.#stopping = true;
    this.#rebalancer.close();
    await this.#dispatcher.close();
    this.#promoter.close();
    this.#deadlines.close();
    this.#batches.close();
    this.#ticker.close();
    this.#gatekeeper.close();
    this.#cancels.close();
    for (const session of this.sessions.all()) {
      session.draining = true;
      // Spread over the first half, so that they do not all come to the next coordinator at once.
      session.port?.drain(deadlineMs * (0.25 + 0.25 * Math.random()));
    }
    await this.#drained(deadlineMs);
    await this.#submitter.idle();
    // While the database is away they are never committed; their workers report them again elsewhere.
    await Promise.race([this.settler.idle(), delay(LAST_REPORTS_MS, undefined, { ref: false })]);
    await this.#mender.idle();
    await this.progress.flush();
    await this.#dependents.close();
    this.settler.close();
    this.#mender.close();
    this.sessions.end();
    await this.hellos.idle();
    await this.sessions.idle();
    this.#housekeeping.close();
    await this.#retirer.close();
    this.#wakeups.close();
    await this.#sweeper.sweep().catch(() => {});
    await this.#pulse.stop();
    await this.#line.close();
    await this.#store.close();
  }

  async #cancel(jobId: string, reason: string): Promise<void> {
    await this.#options.cancelJobs([jobId], reason, (commit) => this.jobsCancelled(commit, reason));
  }

  async #drained(deadlineMs: number): Promise<void> {
    const until = systemClock.nowMs() + deadlineMs;
    const open = () => [...this.sessions.all()].some((session) => session.port !== undefined);
    while (open() && systemClock.nowMs() < until) {
      await new Promise((resolve) => {
        setTimeout(resolve, 20);
      });
    }
  }

  async #promote(): Promise<AlarmRound> {
    const { jobs, levels, nextDueMs } = await this.#store.promote();
    this.#after.ready(levels, { tellOthers: true });
    this.#after.gatesMoved();
    return { again: jobs === PROMOTE_JOBS_MAX, nextDueMs };
  }

  #hint(payload: string): void {
    const hint = readHint(payload);
    if (hint === undefined || hint.from === this.coordinatorId || this.#stopping) {
      return;
    }
    this.#wakeups.heardOthers();
    this.#after.heard(hint);
    if (hint.all === true) {
      this.#housekeeping.scanSoon();
    }
  }
}
