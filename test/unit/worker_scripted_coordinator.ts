import { EventEmitter, once } from 'node:events';
import { Metadata, Server, ServerCredentials } from '@grpc/grpc-js';
import type { ServerDuplexStream } from '@grpc/grpc-js';
import { ErrorInfo } from '../../proto/gen/google/rpc/error_details.ts';
import { Status } from '../../proto/gen/google/rpc/status.ts';
import { WorkerServiceService } from '../../proto/gen/skiplease/v1/worker_service.ts';
import type {
  Hello,
  JobOutcome,
  LeasedJob,
  LeaseRequest,
  LeaseResponse,
  ReceiptStatus,
  Report,
  Welcome,
} from '../../proto/gen/skiplease/v1/worker_service.ts';
import { durationFromMs } from '../../worker/wire/duration.ts';
import { within } from '../support/wait.ts';

const waitMs = 10_000;

type Said = NonNullable<LeaseRequest['message']>;
type Word = NonNullable<LeaseResponse['message']>;

/** One stream of a worker, seen from the other side. */
export class ScriptedStream {
  /** Everything that the worker has said, in order. */
  readonly said: Said[] = [];
  readonly #call: ServerDuplexStream<LeaseRequest, LeaseResponse>;
  readonly #news = new EventEmitter().setMaxListeners(100);
  #taken = 0;
  #leases = 0;
  ended = false;

  constructor(call: ServerDuplexStream<LeaseRequest, LeaseResponse>) {
    this.#call = call;
    call.on('data', ({ message }: LeaseRequest) => {
      this.said.push(message!);
      this.#news.emit('news');
    });
    call.on('error', () => {});
    call.on('end', () => call.end()); // a goodbye is answered with OK
    for (const event of ['end', 'close', 'cancelled']) {
      call.on(event, () => {
        this.ended = true;
        this.#news.emit('news');
      });
    }
  }

  /** The next message of this kind, past those that were taken before. */
  async take<Case extends Said['$case']>(kind: Case): Promise<Extract<Said, { $case: Case }>['value']> {
    for (;;) {
      while (this.#taken < this.said.length) {
        const message = this.said[this.#taken++]!;
        if (message.$case === kind) return message.value as never;
      }
      if (this.ended) throw new Error(`the stream ended before a ${kind}`);
      await within(once(this.#news, 'news'), waitMs, `a ${kind} of the worker`);
    }
  }

  async untilEnded(): Promise<void> {
    while (!this.ended) await within(once(this.#news, 'news'), waitMs, 'the end of the stream');
  }

  say(message: Word): void {
    this.#call.write({ message });
  }

  welcome(change: Partial<Welcome> & { ttlMs?: number; heartbeatMs?: number } = {}): void {
    const { ttlMs = 10_000, heartbeatMs = 1_000, ...fields } = change;
    const limits = {
      receiveBytesMax: 4 * 1024 * 1024,
      payloadBytesMax: 1024 * 1024,
      resultBytesMax: 256 * 1024,
      checkpointBytesMax: 64 * 1024,
      reportOutcomesMax: 10_000,
    };
    this.say({
      $case: 'welcome',
      value: {
        sessionId: 'session',
        leaseTtl: durationFromMs(ttlMs),
        heartbeatInterval: durationFromMs(heartbeatMs),
        limits,
        resumed: [],
        lostTokens: [],
        ...fields,
      },
    });
  }

  lease(token: string, jobs: LeasedJob[]): void {
    this.#leases += 1;
    this.say({ $case: 'lease', value: { token, number: this.#leases, queue: 'queue', jobs } });
  }

  receipt(report: Report, status: ReceiptStatus, message = ''): void {
    const jobs = report.outcomes.map((outcome: JobOutcome) => ({ jobId: outcome.jobId, status, message }));
    this.say({ $case: 'receipt', value: { token: report.token, jobs } });
  }

  end(): void {
    this.#call.end();
  }

  refuse(code: number, details: string, reason = ''): void {
    const metadata = new Metadata();
    if (reason !== '') {
      const info = ErrorInfo.encode({ reason, domain: 'skiplease', metadata: {} }).finish();
      const any = { typeUrl: 'type.googleapis.com/google.rpc.ErrorInfo', value: info };
      metadata.set('grpc-status-details-bin', Buffer.from(Status.encode({ code, message: details, details: [any] }).finish()));
    }
    this.#call.emit('error', { code, details, metadata });
  }
}

/**
 * A WorkerService whose every word the test says itself: for what a real coordinator says only seldom, or at moments
 * that cannot be chosen. (The worker against the real one: test/integration.)
 */
export class ScriptedCoordinator {
  readonly #server = new Server();
  readonly #streams: ScriptedStream[] = [];
  readonly #news = new EventEmitter();
  address = '';

  static async start(): Promise<ScriptedCoordinator> {
    const coordinator = new ScriptedCoordinator();
    coordinator.#server.addService(WorkerServiceService, {
      lease: (call: ServerDuplexStream<LeaseRequest, LeaseResponse>) => {
        coordinator.#streams.push(new ScriptedStream(call));
        coordinator.#news.emit('stream');
      },
      listWorkers: () => {},
      listLeases: () => {},
    });
    const port = await new Promise<number>((resolve, reject) =>
      coordinator.#server.bindAsync('127.0.0.1:0', ServerCredentials.createInsecure(), (error, bound) =>
        error === null ? resolve(bound) : reject(error),
      ),
    );
    coordinator.address = `127.0.0.1:${port}`;
    return coordinator;
  }

  /** The next stream that a worker opens, and its hello. */
  async stream(): Promise<{ stream: ScriptedStream; hello: Hello }> {
    if (this.#streams.length === 0) await within(once(this.#news, 'stream'), waitMs, 'a stream of the worker');
    const stream = this.#streams.shift()!;
    return { stream, hello: await stream.take('hello') };
  }

  /** Drops every connection, as a killed process does. */
  close(): void {
    this.#server.forceShutdown();
  }
}

/** A job as a coordinator leases it. */
export function leasedJob(id: string, change: Partial<LeasedJob> = {}): LeasedJob {
  return {
    id,
    type: 'work',
    payload: Buffer.from('{}'),
    contentType: 'application/json',
    attempt: 1,
    maxAttempts: 3,
    timeout: undefined,
    headers: {},
    checkpoint: new Uint8Array(),
    priority: 0,
    ...change,
  };
}
