import { randomUUID } from 'node:crypto';
import { systemClock } from '../../coordinator/clock.ts';
import type { ClientLimits } from '../../coordinator/engine/admission.ts';
import type { Move } from '../../coordinator/engine/decide.ts';
import type { CancelMessage, JobReceiptMessage, LeasedJobMessage, LeaseMessage, ReceiptStatus } from '../../coordinator/engine/messages.ts';
import type { Session, SessionPort } from '../../coordinator/engine/session.ts';
import type { Welcomed } from '../../coordinator/engine/hellos.ts';
import { RunningEngine } from '../../coordinator/engine/running_engine.ts';
import { parseToken } from '../../coordinator/engine/token.ts';
import type { SkipleaseError } from '../../coordinator/errors.ts';
import { SUBMIT_WAITING_JOBS_MAX } from '../../coordinator/limits.ts';
import { createMetrics } from '../../coordinator/observe/metrics.ts';
import { tickedJob } from '../../coordinator/rpc/check_schedule.ts';
import { NotifyConnection } from '../../coordinator/store/notify.ts';
import { Store } from '../../coordinator/store/store.ts';
import type { OpenLine } from '../../coordinator/wakeups/line.ts';
import { keepLog, type KeptLog } from './store_world.ts';
import { waitFor } from './wait.ts';

export interface TestEngine {
  engine: RunningEngine;
  store: Store;
  log: KeptLog;
  /** Statements as they were run, by name. */
  statements: string[];
  /** How long each took, in the same order. */
  seconds: number[];
  stop(): Promise<void>;
  /** Ends as a killed process does: nothing is said to anybody, its timers and connections are gone. */
  abandon(): Promise<void>;
}

/** A coordinator without its gRPC side, on a real database. Times in milliseconds. */
export async function startEngine(databaseUrl: string, options: { leaseTtlMs?: number; tickMs?: number; lineUrl?: string; openLine?: OpenLine; clientLimits?: ClientLimits } = {}): Promise<TestEngine> {
  const leaseTtlMs = options.leaseTtlMs ?? 2_000;
  const log = keepLog();
  const statements: string[] = [];
  const seconds: number[] = [];
  const store = new Store(databaseUrl, log, (name, took) => {
    statements.push(name);
    seconds.push(took);
  });
  const engine = new RunningEngine({
    store, metrics: createMetrics(), leaseTtlMs, tickMs: options.tickMs ?? leaseTtlMs / 4, drainDeadlineMs: 0, rebalanceMs: 0, address: '127.0.0.1:0',
    clientLimits: options.clientLimits ?? { waitingJobsMax: SUBMIT_WAITING_JOBS_MAX, jobsPerSecond: 0 },
    cancelJobs: () => Promise.resolve(),
    readJob: (job) => tickedJob(job, 1 << 20),
    openLine: options.openLine ?? ((received, listening) => new NotifyConnection(options.lineUrl ?? databaseUrl, received, listening)),
  });
  await engine.start();
  let stopped = false;
  return {
    engine, store, log, statements, seconds,
    stop: async () => {
      if (!stopped) {
        stopped = true;
        await engine.stop();
      }
    },
    abandon: async () => {
      stopped = true;
      await store.close();
    },
  };
}

export type SentLease = LeaseMessage & { session: Session };

/** A worker whose every word the test chooses: a port of the engine, as the lease stream is one. */
export class TestWorker implements SessionPort {
  readonly instanceId: string;
  readonly leases: SentLease[] = [];
  readonly cancels: CancelMessage[] = [];
  readonly #engine: RunningEngine;
  closedWith: SkipleaseError | undefined;
  closed = false;
  drained = false;
  session!: Session;
  #beat: NodeJS.Timeout | undefined;

  constructor(engine: RunningEngine, instanceId?: string) {
    this.#engine = engine;
    this.instanceId = instanceId ?? randomUUID();
  }

  /** Says hello and goes on with heartbeats until it falls silent. */
  async hello(options: { queues?: string[]; jobs?: number; bytes?: number; held?: string[]; leaseBytesMax?: number } = {}): Promise<Welcomed> {
    const welcomed = await this.#engine.hellos.hello(
      {
        workerId: 'w', instanceId: this.instanceId, identity: '', queues: new Map((options.queues ?? ['q']).map((name) => [name, 0])),
        window: { jobs: options.jobs ?? 100, bytes: options.bytes ?? 1 << 26 }, sdk: 'test', sdkVersion: '0',
        heldTokens: options.held ?? [], leaseBytesMax: options.leaseBytesMax ?? 1 << 22,
      },
      this,
    );
    this.session = welcomed.session;
    this.#beat = setInterval(() => this.beat(), 20).unref();
    this.#engine.roomMade();
    return welcomed;
  }

  beat(): void {
    this.session.heardMs = systemClock.nowMs();
  }

  /** No heartbeat from now on; the stream stays. */
  fallSilent(): void {
    clearInterval(this.#beat);
  }

  /** The stream breaks; the session waits for the worker. */
  break(): void {
    this.fallSilent();
    this.#engine.sessions.detach(this.session);
  }

  /** Half-closes: what is unfinished goes back. */
  leave(): void {
    this.fallSilent();
    this.#engine.sessions.leave(this.session);
  }

  /** Reports and waits for the receipts, in order. */
  report(token: string, jobs: { jobId: string; move: Move }[]): Promise<JobReceiptMessage[]> {
    return new Promise((resolve) => {
      this.#engine.settler.report(this.session, parseToken(token), jobs, resolve);
    });
  }

  /** Reports every job of a lease as succeeded; gives the receipts' statuses. */
  async succeed(lease: { token: string; jobs: { id: string }[] }): Promise<ReceiptStatus[]> {
    return (await this.report(lease.token, lease.jobs.map(({ id }) => ({ jobId: id, move: succeeded() })))).map(({ status }) => status);
  }

  /** Jobs that it was sent so far, in order. */
  get jobs(): LeasedJobMessage[] {
    return this.leases.flatMap((lease) => lease.jobs);
  }

  /** Waits until it was sent so many jobs in all. */
  async gets(count: number, deadlineMs = 5_000): Promise<LeasedJobMessage[]> {
    await waitFor(() => this.jobs.length >= count, { deadlineMs, what: `${count} jobs at the worker (it has ${this.jobs.length})` });
    return this.jobs;
  }

  lease(message: LeaseMessage): boolean {
    this.leases.push({ ...message, session: this.session });
    return true;
  }

  receipt(): boolean {
    return true;
  }

  alive(): boolean {
    return true;
  }

  cancel(message: CancelMessage): boolean {
    this.cancels.push(message);
    return true;
  }

  drain(): boolean {
    this.drained = true;
    return true;
  }

  close(error?: SkipleaseError): void {
    this.fallSilent();
    this.closed = true;
    this.closedWith = error;
  }
}

export function succeeded(result: Uint8Array | null = null): Move {
  return { kind: 'succeed', result, resultType: null, followUps: [] };
}

export function failed(fields: Partial<Extract<Move, { kind: 'fail' }>> = {}): Move {
  return { kind: 'fail', code: 'BROKEN', message: 'it broke', details: '', permanent: false, retryDelayMs: null, ...fields };
}

export function released(delayMs = 0, snoozed = false): Move {
  return { kind: 'release', delayMs, snoozed };
}
