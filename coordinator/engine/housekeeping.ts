import type { Clock } from '../clock.ts';
import { STATEMENT_TIMEOUT_MS } from '../limits.ts';
import type { Beat } from '../store/coordinators.ts';
import type { Level } from '../store/levels.ts';
import type { Store } from '../store/store.ts';
import type { Line } from '../wakeups/line.ts';
import type { Alarm } from './alarm.ts';
import type { Cancels } from './cancels.ts';
import type { Gatekeeper } from './gatekeeper.ts';
import type { Guard } from './guard.ts';
import type { Hellos } from './hellos.ts';
import { KeySweeper } from './key_sweeper.ts';
import type { Mender } from './mender.ts';
import type { QueueCache } from './queue_cache.ts';
import type { Reaper } from './reaper.ts';
import type { Rebalancer } from './rebalancer.ts';
import type { Retirer } from './retirer.ts';
import type { Sessions } from './sessions.ts';
import type { Standing } from './standing.ts';
import type { Sweeper } from './sweeper.ts';
import type { Ticker } from './ticker.ts';
import type { Timeouts } from './timeouts.ts';
import type { Wakeups } from './wakeups.ts';

/** The scan of all levels from zero: every so often while it is cheap, and never more than a fiftieth of the time. */
const SCAN_MS_MIN = 5_000;
const SCAN_MS_MAX = 60_000;
const SCAN_COST_FACTOR = 50;
const PARTITIONS_MS = 600_000;
const SWEEP_PROGRESS_MS = 60_000;
/**
 * After a statement of unknown fate, our leases are audited until it can no longer be running on the server: counted from
 * the first tick that commits after it.
 */
const AUDIT_FOR_MS = 3 * STATEMENT_TIMEOUT_MS;

/** What happens at regular times, all of it after a tick that committed. */
export class Housekeeping {
  readonly #coordinatorId: string;
  readonly #standing: Standing;
  readonly #store: Store;
  readonly #sessions: Sessions;
  readonly #hellos: Hellos;
  readonly #cancels: Cancels;
  readonly #mender: Mender;
  readonly #sweeper: Sweeper;
  readonly #reaper: Reaper;
  readonly #wakeups: Wakeups;
  readonly #line: Line;
  readonly #promoter: Alarm;
  readonly #deadlines: Alarm;
  readonly #timeouts: Timeouts;
  readonly #ticker: Ticker;
  readonly #gatekeeper: Gatekeeper;
  readonly #queues: QueueCache;
  readonly #guard: Guard;
  readonly #retirer: Retirer;
  readonly #rebalancer: Rebalancer;
  readonly #keySweeper: KeySweeper;
  readonly #clock: Clock;
  readonly #found: (levels: Level[]) => void;
  #scanDueMs = 0;
  #partitionsDueMs: number;
  #sweepProgressDueMs: number;
  #auditDue = false;
  #auditUntilMs = 0;
  /** Our leases without a session, at the last audit: twice seen, they are given back. */
  #orphans = new Set<bigint>();
  #scanning: Promise<void> = Promise.resolve();
  #nextScan: Promise<void> | undefined;
  #closed = false;

  constructor(deps: {
    coordinatorId: string;
    standing: Standing;
    store: Store;
    sessions: Sessions;
    hellos: Hellos;
    cancels: Cancels;
    mender: Mender;
    sweeper: Sweeper;
    reaper: Reaper;
    wakeups: Wakeups;
    line: Line;
    promoter: Alarm;
    deadlines: Alarm;
    timeouts: Timeouts;
    ticker: Ticker;
    gatekeeper: Gatekeeper;
    queues: QueueCache;
    guard: Guard;
    retirer: Retirer;
    rebalancer: Rebalancer;
    clock: Clock;
    found: (levels: Level[]) => void;
  }) {
    this.#coordinatorId = deps.coordinatorId;
    this.#standing = deps.standing;
    this.#store = deps.store;
    this.#sessions = deps.sessions;
    this.#hellos = deps.hellos;
    this.#cancels = deps.cancels;
    this.#mender = deps.mender;
    this.#sweeper = deps.sweeper;
    this.#reaper = deps.reaper;
    this.#wakeups = deps.wakeups;
    this.#line = deps.line;
    this.#promoter = deps.promoter;
    this.#deadlines = deps.deadlines;
    this.#timeouts = deps.timeouts;
    this.#ticker = deps.ticker;
    this.#gatekeeper = deps.gatekeeper;
    this.#queues = deps.queues;
    this.#guard = deps.guard;
    this.#retirer = deps.retirer;
    this.#rebalancer = deps.rebalancer;
    this.#clock = deps.clock;
    this.#found = deps.found;
    this.#partitionsDueMs = deps.clock.nowMs() + PARTITIONS_MS;
    this.#sweepProgressDueMs = deps.clock.nowMs() + SWEEP_PROGRESS_MS;
    this.#keySweeper = new KeySweeper(deps);
  }

  close(): void {
    this.#closed = true;
  }

  scanSoon(): void {
    this.#scanDueMs = 0;
    void this.scan().catch(() => {});
  }

  /** A claim or hand-off may or may not have happened. */
  auditSoon(): void {
    this.#auditDue = true;
  }

  async tick(beat: Beat): Promise<void> {
    this.#wakeups.seen(beat.alive - 1);
    if (beat.nextRunAtMs !== null) {
      this.#promoter.note(beat.nextRunAtMs);
    }
    if (beat.nextStartByMs !== null) {
      this.#deadlines.note(beat.nextStartByMs);
    }
    this.#timeouts.check();
    if (beat.nextTickMs !== null) {
      this.#ticker.note(beat.nextTickMs);
    }
    await this.#dropLost();
    await this.#line.listen();
    await this.#reaper.reap(beat);
    await this.#sweeper.sweep();
    const nowMs = this.#clock.nowMs();
    if (this.#auditDue) {
      this.#auditDue = false;
      this.#auditUntilMs = nowMs + AUDIT_FOR_MS;
    }
    if (nowMs < this.#auditUntilMs) {
      await this.#audit();
    }
    if (nowMs >= this.#scanDueMs) {
      await this.scan();
    }
    await this.#guard.tick();
    this.#gatekeeper.soon();
    if (nowMs >= this.#partitionsDueMs) {
      await this.#store.ensurePartitions();
      this.#partitionsDueMs = nowMs + PARTITIONS_MS;
    }
    this.#retirer.tick();
    this.#rebalancer.tick(beat.alive);
    this.#keySweeper.tick();
    if (nowMs >= this.#sweepProgressDueMs) {
      await this.#store.sweepProgress();
      await this.#store.sweepAllLeases();
      await this.#store.adoptLeases();
      await this.#gatekeeper.seeThrough();
      this.#sweepProgressDueMs = nowMs + SWEEP_PROGRESS_MS;
    }
  }

  /**
   * Looks at every level from zero, at every queue's settings and at what was cancelled: the guarantee behind hints that were lost
   * and claims that were given up. One at a time: all who ask while one is under way get the next.
   */
  scan(): Promise<void> {
    this.#nextScan ??= this.#scanning.then(() => {
      this.#nextScan = undefined;
      return this.#scan();
    });
    this.#scanning = this.#nextScan.catch(() => {});
    return this.#nextScan;
  }

  async #scan(): Promise<void> {
    if (this.#closed) {
      return;
    }
    const started = this.#clock.nowMs();
    this.#scanDueMs = started + SCAN_MS_MAX;
    await this.#queues.refreshAll();
    const levels = await this.#store.scanLevels();
    const nowMs = this.#clock.nowMs();
    this.#scanDueMs = nowMs + Math.min(SCAN_MS_MAX, Math.max(SCAN_MS_MIN, SCAN_COST_FACTOR * (nowMs - started)));
    this.#found(levels);
    await this.#cancels.look();
  }

  /** If we were away for long enough to be given up: what others took, our workers must hear of before they are promised anything. */
  async #dropLost(): Promise<void> {
    const doubts = this.#standing.openDoubts;
    if (doubts === undefined) {
      return;
    }
    // Only what was held before the look: a lease that is granted while it runs is not lost because it is not seen.
    const held = this.#sessions.heldLeaseIds();
    const sessionIds = [...this.#sessions.all()].map(({ id }) => id);
    const standing = new Set(await this.#store.ownLeases(this.#coordinatorId));
    this.#sessions.dropLost(new Set(held.filter((leaseId) => !standing.has(leaseId))));
    this.#sessions.dropGone(await this.#store.goneSessions(sessionIds));
    this.#standing.settleDoubts(doubts);
  }

  /** Leases in our name that no session knows of go back with no attempt spent, once they have been seen twice. */
  async #audit(): Promise<void> {
    const own = await this.#store.ownLeases(this.#coordinatorId);
    const unknown = own.filter((leaseId) => !this.#sessions.holds(leaseId) && !this.#hellos.names(leaseId));
    for (const leaseId of unknown.filter((id) => this.#orphans.has(id))) {
      this.#mender.add({
        leaseId, proof: { ownerCoordinatorId: this.#coordinatorId }, moves: { kind: 'release', delayMs: 0, snoozed: false }, done: () => {},
      });
    }
    this.#orphans = new Set(unknown);
  }
}
