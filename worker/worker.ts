import { CancelReason, WorkerServiceClient } from '../proto/gen/skiplease/v1/worker_service.ts';
import type { Cancel, Hello, Lease, Welcome } from '../proto/gen/skiplease/v1/worker_service.ts';
import { JobCancelledError, JobTimeoutError, LeaseLostError, type AbortReason } from './abort_reasons.ts';
import { drain } from './drain.ts';
import { HeldLeases } from './lease/held_leases.ts';
import { ProgressOutbox } from './lease/progress_outbox.ts';
import { Receipts } from './lease/receipts.ts';
import { Reporter } from './lease/reporter.ts';
import { Validity } from './lease/validity.ts';
import { settingsFrom } from './options.ts';
import type { WorkerOptions, WorkerSettings } from './options.ts';
import { MissingHandlers } from './run/missing_handlers.ts';
import { Runner } from './run/runner.ts';
import { onStopSignals } from './signals.ts';
import { Connection } from './stream/connection.ts';
import { Session } from './stream/session.ts';
import { sdkName, sdkVersion } from './version.ts';
import { channelOptions } from './wire/channel.ts';

/** The contract's bound of a hello. A lease that cannot be named goes back, and is let go here. */
const heldTokensMax = 10_000;

/** Nothing more, please. */
const noWindow = { $case: 'window' as const, value: { jobs: 0, bytes: 0, queues: [] } };

/** Used until a coordinator has named its own. */
const checkpointBytesMax = 64 * 1024;

/**
 * Takes jobs from the coordinators, runs handlers over them, and reports what became of them. Wires the parts; each
 * of them has a file of its own: stream/ (connections), lease/ (what is held and reported), run/ (handlers).
 */
export class Worker {
  readonly #settings: WorkerSettings;
  readonly #validity = new Validity();
  readonly #leases: HeldLeases;
  readonly #progress: ProgressOutbox;
  readonly #reporter: Reporter;
  readonly #receipts: Receipts;
  readonly #runner: Runner;
  readonly #connection: Connection;
  #session: Session | undefined;
  #running: Promise<void> | undefined;
  #draining: Promise<void> | undefined;

  /** Throws TypeError that names each bad option. */
  constructor(options: WorkerOptions) {
    const settings = settingsFrom(options);
    const { logger, handlers, batchHandlers } = settings;
    this.#settings = settings;
    this.#leases = new HeldLeases(settings.codec);
    this.#progress = new ProgressOutbox(this.#leases);
    this.#reporter = new Reporter(this.#leases, this.#progress);
    this.#receipts = new Receipts(this.#leases, this.#reporter, logger);
    this.#runner = new Runner({
      concurrency: settings.concurrency,
      handlers,
      batchHandlers,
      timeoutGraceMs: settings.timeoutGraceMs,
      validity: this.#validity,
      missing: new MissingHandlers([...handlers.keys(), ...batchHandlers.keys()], logger),
      parts: {
        logger,
        progress: this.#progress,
        database: settings.database,
        checkpointBytesMax: () => this.#session?.welcome?.limits?.checkpointBytesMax || checkpointBytesMax,
      },
      onAnswered: (job) => this.#reporter.add(job),
    });
    this.#connection = new Connection({
      addresses: settings.addresses,
      logger,
      tokenChanges: settings.security.tokenChanges,
      open: (address, welcomeWaitMs) => this.#open(address, welcomeWaitMs),
    });
  }

  /**
   * Works until stop() or a signal, and resolves when everything is reported or handed back. A coordinator that is
   * away is waited for, however long. Rejects with a SkipleaseError when this worker is refused for good (a bad
   * option, no permission). To be called once.
   */
  run(): Promise<void> {
    if (this.#running !== undefined) throw new Error('run() was called before');
    this.#running = this.#run();
    return this.#running;
  }

  /**
   * Takes no more, hands back what has not started, lets running handlers end within the drain deadline, and resolves
   * with run(). May be called more than once.
   */
  async stop(): Promise<void> {
    this.#draining ??= this.#drain();
    await this.#draining;
    await this.#running;
  }

  async #run(): Promise<void> {
    const { handleSignals, logger } = this.#settings;
    const forgetSignals = handleSignals ? onStopSignals(() => void (this.#draining ??= this.#drain()), logger) : () => {};
    try {
      await this.#connection.run();
      await this.#draining;
    } finally {
      forgetSignals();
      this.#runner.stop();
      this.#runner.close();
      this.#progress.detach();
      for (const job of this.#leases.running()) {
        this.#leases.abandon(job, new LeaseLostError('the worker has ended'));
      }
    }
  }

  async #drain(): Promise<void> {
    const { drainDeadlineMs, timeoutGraceMs, logger } = this.#settings;
    this.#session?.writer.write(noWindow);
    await drain({ runner: this.#runner, leases: this.#leases, logger, drainDeadlineMs, timeoutGraceMs });
    await this.#connection.close();
    logger.info({ event: 'stopped' }, 'stopped');
  }

  #open(address: string, welcomeWaitMs: number): Session {
    return new Session({
      address,
      // A pool of its own: a stream to the same address must not share a broken connection.
      client: new WorkerServiceClient(address, this.#settings.security.credentials, {
        ...channelOptions,
        interceptors: this.#settings.security.interceptors,
        'grpc.max_receive_message_length': this.#settings.receiveBytesMax,
        'grpc.use_local_subchannel_pool': 1,
      }),
      hello: this.#hello(),
      welcomeWaitMs,
      validity: this.#validity,
      elsewhere: this.#settings.addresses.length > 1,
      listener: {
        onWelcome: (session, welcome) => this.#onWelcome(session, welcome),
        onLease: (lease) => this.#onLease(lease),
        onReceipt: (receipt) => this.#receipts.apply(receipt),
        onCancel: (cancel) => this.#onCancel(cancel),
        onAlive: () => this.#runner.pump(),
        onWritable: () => this.#onWritable(),
        onEnd: (session) => this.#onEnd(session),
      },
    });
  }

  #hello(): Hello {
    const { workerId, instanceId, queues, windowJobs, windowBytes, receiveBytesMax } = this.#settings;
    return {
      workerId,
      instanceId,
      queues: [...queues],
      window: { jobs: this.#draining === undefined ? windowJobs : 0, bytes: windowBytes, queues: [] },
      sdk: sdkName,
      sdkVersion,
      heldTokens: this.#leases.tokens().slice(0, heldTokensMax),
      receiveBytesMax,
    };
  }

  /** A stream is ready: from here on it is the one that we talk on. */
  #onWelcome(session: Session, welcome: Welcome): void {
    this.#session = session;
    const stopped = this.#leases.reconcile(welcome);
    this.#settings.logger.info(
      {
        event: 'connected',
        address: session.address,
        session_id: welcome.sessionId,
        leases_resumed: welcome.resumed.length,
        leases_lost: welcome.lostTokens.length,
        jobs_stopped: stopped.length,
      },
      `connected to the coordinator at ${session.address}`,
    );
    if (this.#draining !== undefined && session.hello.window?.jobs !== 0) {
      session.writer.write(noWindow);
    }
    this.#progress.attach(session);
    this.#reporter.attach(session);
    this.#runner.pump();
  }

  #onLease(lease: Lease): void {
    this.#runner.accept(this.#leases.add(lease));
  }

  #onCancel(cancel: Cancel): void {
    const named = cancel.jobIds.map((jobId) => this.#leases.find(cancel.token, jobId)).filter((job) => job !== undefined);
    const jobs = cancel.jobIds.length === 0 ? this.#leases.jobsOf(cancel.token) : named;
    const { logger } = this.#settings;
    for (const job of jobs) {
      const reason = abortReasonOf(cancel);
      this.#leases.abandon(job, reason);
      logger.info({ event: 'job_stopped', job_id: job.wire.id, reason: reason.code }, reason.message);
    }
  }

  #onWritable(): void {
    this.#progress.writable();
    this.#reporter.writable();
  }

  #onEnd(session: Session): void {
    if (this.#session !== session) return;
    this.#session = undefined;
    this.#reporter.detach();
    this.#progress.detach();
  }
}

function abortReasonOf({ reason, message }: Cancel): AbortReason {
  if (reason === CancelReason.JOB_CANCELLED) return new JobCancelledError(message || 'the job was cancelled');
  if (reason === CancelReason.TIMED_OUT) return new JobTimeoutError(message || 'the attempt took longer than its timeout');
  return new LeaseLostError(message || 'the lease of this job was lost');
}
