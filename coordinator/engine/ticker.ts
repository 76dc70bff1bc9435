import { v7 as uuidv7 } from 'uuid';
import type { Clock } from '../clock.ts';
import { TICK_SCHEDULES_MAX } from '../limits.ts';
import type { Metrics } from '../observe/metrics.ts';
import type { CancelCommit } from '../store/cancel_jobs.ts';
import type { Level } from '../store/levels.ts';
import type { Store, TransactionRun } from '../store/store.ts';
import type { DueSchedule, Ticked } from '../store/tick.ts';
import { Overlap } from '../types.ts';
import type { NewJob } from '../types.ts';
import { Alarm, type AlarmRound } from './alarm.ts';
import { DUE_TICKS_MAX, planTicks } from './plan_ticks.ts';
import type { TickPlan } from './plan_ticks.ts';
import type { QueueCache } from './queue_cache.ts';

/** What the jobs of one transaction weigh together, unless the first alone weighs more. */
const TICK_BYTES_MAX = 4 * 1024 * 1024;
/** Past it, what is left is left to the next transaction: positions in ready must be visible soon after they were drawn. */
const TRANSACTION_MS_MAX = 500;

/** A job that a tick is to submit. */
export interface TickedJob {
  schedule: string;
  /** A skiplease.v1.JobSpec. */
  spec: Uint8Array;
  id: string;
  nowMs: number;
  tickMs: number;
}

/** Cancels jobs as JobService does; `committed` is told after each commit. */
export type CancelJobs = (ids: string[], reason: string, committed: (commit: CancelCommit) => void) => Promise<unknown>;

interface TickerDeps {
  store: Store;
  databaseNowMs: () => number;
  clock: Clock;
  queues: QueueCache;
  metrics: Metrics;
  /** Reads and checks what a schedule submits. */
  readJob: (job: TickedJob) => NewJob;
  cancel: (jobId: string, reason: string) => Promise<void>;
  /** Where jobs wait now. */
  ready: (levels: Level[]) => void;
}

interface Planned {
  schedule: DueSchedule;
  plan: TickPlan;
}

/** What one transaction did. */
interface Look {
  ticked: Ticked[];
  jobs: number;
  levels: Level[];
  /** Earlier jobs that must be cancelled before the next look. */
  replaced: DueSchedule[];
  round: AlarmRound;
}

/**
 * Submits the jobs of schedules whose tick has come. Every coordinator looks; whoever locks a schedule's row submits and
 * moves it on in the same transaction, so a look that is repeated, or dies, changes nothing.
 */
export class Ticker {
  readonly #deps: TickerDeps;
  readonly #alarm: Alarm;
  /** Schedules whose earlier job is being cancelled. */
  readonly #replacing = new Set<string>();

  constructor(deps: TickerDeps) {
    this.#deps = deps;
    const { databaseNowMs, clock, store: { log } } = deps;
    this.#alarm = new Alarm({ work: () => this.#tick(), what: 'schedules could not be ticked', databaseNowMs, clock, log });
  }

  /** A schedule ticks at this moment of the database's clock. */
  note(tickMs: number): void {
    this.#alarm.note(tickMs);
  }

  close(): void {
    this.#alarm.close();
  }

  async #tick(): Promise<AlarmRound> {
    const { store, metrics, ready } = this.#deps;
    const { ticked, jobs, levels, replaced, round } = await store.tick((run) => this.#look(run));
    ready(levels);
    metrics.ticks('run', jobs);
    metrics.ticks('skipped', ticked.reduce((sum, { skipped }) => sum + skipped, 0));
    replaced.forEach((schedule) => void this.#replace(schedule));
    return round;
  }

  /** Cancels the earlier job, beside the ticks of others: it may be locked for long. Then the schedule, still due, is looked at again. */
  async #replace({ name, lastJobId }: DueSchedule): Promise<void> {
    const { store, cancel } = this.#deps;
    if (this.#replacing.has(name)) {
      return;
    }
    this.#replacing.add(name);
    try {
      await cancel(lastJobId!, `Replaced by the next tick of the schedule ${name}.`);
      this.#alarm.note(0);
    } catch (error) {
      store.log.warn({ event: 'tick_waits', schedule: name, err: error }, 'the job that a tick replaces could not be cancelled; it is tried again');
    } finally {
      this.#replacing.delete(name);
    }
  }

  async #look(run: TransactionRun): Promise<Look> {
    const { store } = this.#deps;
    const { nowMs, due } = await store.lockDueSchedules(run);
    const look: Look = { ticked: [], jobs: 0, levels: [], replaced: [], round: { again: false, nextDueMs: null } };
    const planned = this.#plan(due, nowMs, await store.openJobs(run, earlierJobs(due)), look.replaced);
    if (planned.length > 0) {
      await this.#submit(run, planned, nowMs, look);
      await store.advanceSchedules(run, look.ticked);
    }
    const { ticked, replaced } = look;
    const left = due.length === TICK_SCHEDULES_MAX || due.length > ticked.length + replaced.length
      || ticked.some(({ nextAtMs }) => nextAtMs !== null && nextAtMs <= nowMs);
    // What it could not get on with waits for the coordinator's next tick.
    look.round = { again: left && ticked.length > 0, nextDueMs: await store.nextTickInMs(run) };
    return look;
  }

  /** As many as one transaction takes. */
  #plan(due: DueSchedule[], nowMs: number, open: Set<string>, replaced: DueSchedule[]): Planned[] {
    const planned: Planned[] = [];
    let bytes = TICK_BYTES_MAX;
    let ticks = DUE_TICKS_MAX;
    for (const schedule of due) {
      const room = Math.floor(bytes / schedule.specBytes);
      const runsMax = planned.length === 0 ? Math.max(1, room) : room;
      if (runsMax === 0 || ticks <= 0) {
        break;
      }
      const plan = this.#planOne(schedule, nowMs, open.has(schedule.lastJobId ?? ''), runsMax);
      if (plan === undefined) {
        continue;
      }
      if (plan === 'replace') {
        replaced.push(schedule);
      } else {
        planned.push({ schedule, plan });
        bytes -= plan.runMs.length * schedule.specBytes;
        ticks -= plan.runMs.length + plan.skipped;
      }
    }
    return planned;
  }

  /** undefined: its zone is unknown here, though it was not where it was put. It stays due, for those who know. */
  #planOne(schedule: DueSchedule, nowMs: number, earlierOpen: boolean, runsMax: number): TickPlan | 'replace' | undefined {
    try {
      return planTicks(schedule, nowMs, earlierOpen, runsMax);
    } catch (error) {
      this.#deps.store.log.warn({ event: 'tick_unknown', schedule: schedule.name, err: error }, 'the next tick of a schedule cannot be told here');
      return undefined;
    }
  }

  /** Each schedule in a savepoint of its own: one whose job is refused, or waits for a lock, takes no other with it. */
  async #submit(run: TransactionRun, planned: Planned[], nowMs: number, look: Look): Promise<void> {
    const { store, clock } = this.#deps;
    const specs = await store.readSpecs(run, planned.filter(({ plan }) => plan.runMs.length > 0).map(({ schedule }) => schedule.name));
    const startedMs = clock.nowMs();
    for (const { schedule: { name }, plan } of planned) {
      if (clock.nowMs() - startedMs > TRANSACTION_MS_MAX) {
        return;
      }
      const { nextAtMs, runMs, skipped } = plan;
      await run('savepoint schedule');
      try {
        const lastJobId = runMs.length === 0 ? null : await this.#submitJobs(run, this.#jobs(name, specs.get(name)!, runMs, nowMs), look);
        await run('release savepoint schedule');
        look.ticked.push({ name, nextAtMs, lastAtMs: runMs.at(-1) ?? null, lastJobId, skipped });
      } catch (error) {
        if ((store.isTransient(error) && !store.isLocked(error)) || store.isMissingPartition(error)) {
          throw error;
        }
        await run('rollback to savepoint schedule');
        if (!store.isLocked(error)) {
          store.log.warn({ event: 'tick_refused', schedule: name, err: error }, 'the job of a schedule was refused; its tick is skipped');
          look.ticked.push({ name, nextAtMs, lastAtMs: null, lastJobId: null, skipped: skipped + runMs.length });
        }
      }
    }
  }

  #jobs(schedule: string, spec: Uint8Array, ticksMs: number[], nowMs: number): NewJob[] {
    // Ids in the order of the ticks, also within this millisecond.
    return ticksMs.map((tickMs, index) => this.#deps.readJob({ schedule, spec, id: uuidv7({ msecs: nowMs, seq: index }), nowMs, tickMs }));
  }

  /** Returns the last job's id, or that of the job that has its unique key. */
  async #submitJobs(run: TransactionRun, jobs: NewJob[], look: Look): Promise<string> {
    const rows = await this.#deps.queues.rows(jobs);
    const { positionMin, effects } = await this.#deps.store.submitFollowUps(run, rows);
    if (positionMin !== null) {
      look.levels.push({ queueId: rows[0]!.queueId, priority: jobs[0]!.priority, positionMin });
    }
    look.levels.push(...(effects?.wake.levels ?? []));
    look.jobs += jobs.length - (effects?.standIns.size ?? 0);
    const lastId = jobs.at(-1)!.id;
    return effects?.standIns.get(lastId) ?? lastId;
  }
}

/** Of those whose next tick depends on them. */
function earlierJobs(due: DueSchedule[]): string[] {
  return due.filter(({ overlap, lastJobId }) => overlap !== Overlap.ALLOW && lastJobId !== null).map(({ lastJobId }) => lastJobId!);
}
