import type { handleBidiStreamingCall, ServerDuplexStream } from '@grpc/grpc-js';
import type { Hello, LeaseRequest, LeaseResponse, Progress, Report, Welcome, Window } from '../../proto/gen/skiplease/v1/worker_service.ts';
import { durationOf } from '../engine/messages.ts';
import type { Session } from '../engine/session.ts';
import { stoppingError } from '../engine/sessions.ts';
import type { RunningEngine } from '../engine/running_engine.ts';
import { parseToken } from '../engine/token.ts';
import { invalidArgument, SkipleaseError, type FieldViolation } from '../errors.ts';
import { REPORT_OUTCOMES_MAX } from '../limits.ts';
import { checkHello, checkSubscriptions, checkWindow } from './check_hello.ts';
import { CHECKPOINT_BYTES_MAX, checkProgress, checkReport } from './check_report.ts';
import { mayFollow } from './check_follow_ups.ts';
import { accessOf } from './identity.ts';
import { LeasePort } from './lease_port.ts';
import type { StatusMapper } from './status.ts';

/** Reports of one stream that wait for their receipts, before it is read no further. */
const REPORTS_WAITING_MAX = 256;
const LOOK_AGAIN_MS = 50;
/**
 * A stream that breaks may look half-closed first: Node's http2 says END_STREAM before it resets a stream, and on a busy machine the two
 * are read far apart. Whoever still holds leases gets this long to turn out broken rather than gone: a holder's work is not given away.
 */
const BREAK_KNOWN_MS = 500;

/** What the stream needs of the process. Sizes in bytes, times in milliseconds. */
export interface LeaseStreamDependencies {
  engine: RunningEngine;
  statuses: StatusMapper;
  payloadBytesMax: number;
  resultBytesMax: number;
  retentionDays: number;
  receiveBytesMax: number;
  heartbeatIntervalMs: number;
}

/** skiplease.v1.WorkerService.Lease: translates between the wire and a session of the engine. */
export function leaseStream(dependencies: LeaseStreamDependencies): handleBidiStreamingCall<LeaseRequest, LeaseResponse> {
  return (call) => new LeaseStream(call, dependencies).open();
}

class LeaseStream {
  readonly #call: ServerDuplexStream<LeaseRequest, LeaseResponse>;
  readonly #dependencies: LeaseStreamDependencies;
  readonly #engine: RunningEngine;
  readonly #port: LeasePort;
  #session: Session | undefined;
  #greeted = false;
  #reportsWaiting = 0;
  #leaving = false;
  #gone = false;
  readonly #helloTimer: NodeJS.Timeout;

  constructor(call: ServerDuplexStream<LeaseRequest, LeaseResponse>, dependencies: LeaseStreamDependencies) {
    this.#call = call;
    this.#dependencies = dependencies;
    this.#engine = dependencies.engine;
    this.#port = new LeasePort(call, dependencies.statuses, dependencies.engine.leaseTtlMs, () => this.#flow());
    this.#helloTimer = setTimeout(() => this.#port.close(new SkipleaseError('DEADLINE_EXCEEDED', 'NO_HELLO',
      'Nothing was said on this stream for the time to live. The first message is hello.')), dependencies.engine.leaseTtlMs).unref();
  }

  open(): void {
    this.#call.on('data', (request: LeaseRequest) => this.#receive(request));
    this.#call.on('end', () => this.#halfClosed());
    for (const event of ['cancelled', 'error', 'close'] as const) {
      this.#call.on(event, () => this.#lost());
    }
  }

  #receive(request: LeaseRequest): void {
    if (this.#port.closed) {
      return;
    }
    try {
      this.#handle(request);
    } catch (error) {
      this.#port.close(error as Error);
    }
  }

  #handle({ message }: LeaseRequest): void {
    if (message === undefined) {
      throw invalidArgument([{ field: 'message', description: 'is missing: hello, window, report, heartbeat or progress' }]);
    }
    if (message.$case === 'hello') {
      if (this.#greeted) {
        throw new SkipleaseError('FAILED_PRECONDITION', 'SECOND_HELLO', 'Hello is said once, at the beginning of a stream. To change the window, send window.');
      }
      this.#greeted = true;
      clearTimeout(this.#helloTimer);
      this.#hello(message.value);
      return;
    }
    const session = this.#session;
    if (session === undefined) {
      throw new SkipleaseError('FAILED_PRECONDITION', 'HELLO_FIRST', `The first message of a stream is hello; ${message.$case} came before it.`);
    }
    session.heardMs = performance.now();
    switch (message.$case) {
      case 'window':
        return this.#window(session, message.value);
      case 'report':
        return this.#report(session, message.value);
      case 'progress':
        return this.#progress(session, message.value);
      case 'heartbeat':
        session.received = Math.max(session.received, message.value.received);
        this.#port.alive(message.value.sequence, this.#engine.standing.validForMs());
    }
  }

  #hello(hello: Hello): void {
    if (this.#engine.stopping) {
      throw stoppingError();
    }
    const request = { ...checkHello(hello, this.#dependencies.payloadBytesMax), identity: accessOf(this.#call).name };
    // What follows hello waits until the session is on record.
    this.#call.pause();
    this.#engine.hellos.hello(request, this.#port).then(
      ({ session, resumed, lostTokens }) => {
        this.#session = session;
        this.#port.session = session;
        if (this.#gone) {
          this.#engine.sessions.detach(session);
          return;
        }
        if (this.#engine.stopping) {
          this.#port.close(stoppingError());
          return;
        }
        this.#port.welcome(this.#welcome(session, lostTokens, resumed.map((lease) => ({ token: lease.token, jobIds: lease.unsettledJobIds() }))));
        this.#flow();
        this.#engine.roomMade();
      },
      (error: Error) => this.#port.close(error),
    );
  }

  #welcome(session: Session, lostTokens: string[], resumed: Welcome['resumed']): Welcome {
    const { payloadBytesMax, resultBytesMax, receiveBytesMax, heartbeatIntervalMs } = this.#dependencies;
    return {
      sessionId: session.id,
      leaseTtl: durationOf(this.#engine.leaseTtlMs),
      heartbeatInterval: durationOf(heartbeatIntervalMs),
      limits: {
        receiveBytesMax, payloadBytesMax, resultBytesMax, checkpointBytesMax: CHECKPOINT_BYTES_MAX, reportOutcomesMax: REPORT_OUTCOMES_MAX,
      },
      resumed,
      lostTokens,
    };
  }

  #window(session: Session, window: Window): void {
    const violations: FieldViolation[] = [];
    const size = checkWindow(window, 'window', violations);
    const caps = checkSubscriptions(window.queues, 'window.queues', violations);
    for (const name of caps.keys()) {
      if (!session.queues.has(name)) {
        violations.push({ field: 'window.queues', description: `${name} is not among the queues of hello` });
      }
    }
    if (violations.length > 0) {
      throw invalidArgument(violations);
    }
    session.window = size!;
    caps.forEach((cap, name) => session.queues.set(name, cap));
    this.#engine.roomMade();
  }

  #report(session: Session, report: Report): void {
    const { payloadBytesMax, resultBytesMax, retentionDays } = this.#dependencies;
    const jobs = mayFollow(accessOf(this.#call), checkReport(report, { payloadBytesMax, resultBytesMax, retentionDays, nowMs: this.#engine.nowMs() }));
    this.#reportsWaiting += 1;
    const settle = () =>
      this.#engine.settler.report(session, parseToken(report.token), jobs, (receipts) => {
        this.#reportsWaiting -= 1;
        this.#port.receipt({ token: report.token, jobs: receipts });
        this.#flow();
        if (this.#leaving) {
          this.#leave();
        }
      });
    // A checkpoint that came before must be on record before its job can go to another attempt.
    if (this.#engine.progress.busy && jobs.some(({ jobId }) => this.#engine.progress.has(jobId))) {
      void this.#engine.progress.flush().then(settle);
    } else {
      settle();
    }
    this.#flow();
  }

  #progress(session: Session, progress: Progress): void {
    const { jobId, percent, note, checkpoint } = checkProgress(progress);
    const token = parseToken(progress.token);
    const lease = token === undefined ? undefined : session.leases.get(token.leaseId);
    // Of a job that is not held any more there is nothing to say.
    if (lease !== undefined && lease.secret === token!.secret && lease.jobIds.includes(jobId)) {
      this.#engine.progress.add({
        jobId, leaseId: lease.leaseId, secret: lease.secret, percent, note, checkpoint: checkpoint?.bytes ?? null, checkpointType: checkpoint?.contentType ?? null,
      });
      this.#flow();
    }
  }

  /** The one place of backpressure towards the worker: reads on only while the worker reads, and what it said is committed. */
  #flow(): void {
    const overloaded = this.#engine.settler.isFull || this.#engine.progress.isFull;
    const unread = overloaded || this.#reportsWaiting >= REPORTS_WAITING_MAX;
    const stop = this.#port.stalled || this.#session === undefined || unread;
    if (!this.#gone) {
      this.#session?.listen(!unread, performance.now());
    }
    if (overloaded && this.#reportsWaiting === 0 && !this.#gone) {
      // None of its own receipts will bring it back here.
      setTimeout(() => this.#flow(), LOOK_AGAIN_MS).unref();
    }
    if (stop && !this.#call.isPaused()) {
      this.#call.pause();
    } else if (!stop && this.#call.isPaused()) {
      this.#call.resume();
    }
    if (!this.#port.stalled) {
      this.#engine.roomMade();
    }
  }

  #halfClosed(): void {
    const session = this.#session;
    if (session === undefined || session.leases.size === 0) {
      this.#leave();
    } else {
      session.draining = true;
      setTimeout(() => this.#leave(), BREAK_KNOWN_MS);
    }
  }

  /** The worker has half-closed: what it reported is committed and answered, the rest goes back, and the stream ends in peace. */
  #leave(): void {
    if (this.#gone) {
      return;
    }
    this.#leaving = true;
    if (this.#session !== undefined) {
      this.#session.draining = true;
      if (this.#reportsWaiting > 0) {
        return;
      }
      this.#engine.sessions.leave(this.#session);
    }
    this.#port.close();
  }

  /** The stream broke: the session waits for its worker. */
  #lost(): void {
    if (this.#gone) {
      return;
    }
    this.#gone = true;
    clearTimeout(this.#helloTimer);
    this.#port.gone();
    this.#session?.listen(true, performance.now());
    if (this.#session !== undefined && this.#session.port === this.#port) {
      this.#engine.sessions.detach(this.#session);
    }
  }
}
