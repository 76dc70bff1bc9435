import { credentials, type ClientDuplexStream, type ClientOptions, type StatusObject } from '@grpc/grpc-js';
import { randomUUID } from 'node:crypto';
import {
  WorkerServiceClient,
  type Alive,
  type Cancel,
  type Drain,
  type Hello,
  type JobOutcome,
  type Lease,
  type LeaseRequest,
  type LeaseResponse,
  type Receipt,
  type Welcome,
} from '../../proto/gen/skiplease/v1/worker_service.ts';
import type { TcpProxy } from './tcp_proxy.ts';
import { within } from './wait.ts';

type Said = NonNullable<LeaseResponse['message']>;

/** What the coordinator says, by kind. */
interface Messages {
  welcome: Welcome;
  lease: Lease;
  receipt: Receipt;
  alive: Alive;
  cancel: Cancel;
  drain: Drain;
}

/** How long the coordinator may take to say what a test waits for, on a busy machine. */
const ANSWER_DEADLINE_MS = 15_000;

/** Heartbeats of this sequence are the automatic ones: nobody waits for their answers. */
const AUTOMATIC = 0;

/** What a hello says, with defaults for all but the queues. */
export interface HelloOptions {
  queues: (string | { queue: string; jobsMax: number })[];
  /** The window. Default 100 jobs and the coordinator's default for bytes. */
  jobs?: number;
  bytes?: number;
  workerId?: string;
  instanceId?: string;
  heldTokens?: string[];
  receiveBytesMax?: number;
  /** False: no heartbeat is sent but by hand. Default true: one each interval, as the coordinator asks. */
  heartbeats?: boolean;
}

/** One WorkerService.Lease stream on a connection of its own, which a test drives message by message. */
export class LeaseClient {
  /** Random, kept for the streams of the same worker: give it to the next hello's `instanceId` to resume. */
  readonly instanceId = randomUUID();
  readonly call: ClientDuplexStream<LeaseRequest, LeaseResponse>;
  /** How the stream ended, once it has. Never rejects. */
  readonly ended: Promise<StatusObject>;
  readonly #client: WorkerServiceClient;
  readonly #proxy: TcpProxy | undefined;
  readonly #inbox: Said[] = [];
  readonly #listeners: ((message: Said) => void)[] = [];
  readonly #waiting = new Set<() => void>();
  #status: StatusObject | undefined;
  #heartbeats: NodeJS.Timeout | undefined;
  #received = 0;
  #sequence = 0;

  /** With a proxy, that stands in front of the coordinator for this stream alone, the connection can be broken. */
  constructor(address: string, options: ClientOptions = {}, proxy?: TcpProxy) {
    this.#proxy = proxy;
    this.#client = new WorkerServiceClient(proxy?.address ?? address, credentials.createInsecure(), {
      'grpc.use_local_subchannel_pool': 1,
      'grpc.max_receive_message_length': -1,
      'grpc.max_send_message_length': -1,
      ...options,
    });
    this.call = this.#client.lease();
    this.call.on('data', ({ message }: LeaseResponse) => this.#receive(message!));
    this.call.on('error', () => undefined);
    this.ended = new Promise((resolve) => {
      this.call.on('status', (status: StatusObject) => {
        this.#status = status;
        clearInterval(this.#heartbeats);
        this.#client.close();
        resolve(status);
        this.#wake();
      });
    });
  }

  /** Says hello and waits for the welcome. Rejects when the stream ends instead. */
  async hello(options: HelloOptions): Promise<Welcome> {
    this.send({ $case: 'hello', value: this.helloMessage(options) });
    const welcome = await this.next('welcome');
    if (options.heartbeats !== false) {
      const { seconds, nanos } = welcome.heartbeatInterval!;
      this.#heartbeats = setInterval(() => this.#beat(AUTOMATIC), (seconds * 1_000 + nanos / 1e6) / 2).unref();
    }
    return welcome;
  }

  helloMessage({ queues, jobs = 100, bytes = 0, workerId = 'by hand', instanceId, heldTokens = [], receiveBytesMax = 0 }: HelloOptions): Hello {
    return {
      workerId,
      instanceId: instanceId ?? this.instanceId,
      queues: queues.map((queue) => (typeof queue === 'string' ? { queue, jobsMax: 0 } : queue)),
      window: { jobs, bytes, queues: [] },
      sdk: 'test',
      sdkVersion: '1',
      heldTokens,
      receiveBytesMax,
    };
  }

  send(message: NonNullable<LeaseRequest['message']>): void {
    this.call.write({ message });
  }

  /** A new window; 0 drains. Without `queues` their caps stay. */
  window(jobs: number, { bytes = 0, queues = [] }: { bytes?: number; queues?: { queue: string; jobsMax: number }[] } = {}): void {
    this.send({ $case: 'window', value: { jobs, bytes, queues } });
  }

  /** Calls it with each message, before anybody who waits for it; first with those that have come already, as a lease may with the welcome. */
  listen(listener: (message: Said) => void): void {
    this.#inbox.forEach(listener);
    this.#listeners.push(listener);
  }

  /** Sends a report and waits for its receipt. Reports sent by hand with `send` must be answered before. */
  async report(token: string, outcomes: JobOutcome[]): Promise<Receipt> {
    this.send({ $case: 'report', value: { token, outcomes } });
    return this.next('receipt');
  }

  /** Sends a heartbeat and waits for its answer. All that the coordinator wrote before the answer has arrived then. */
  async heartbeat(): Promise<Alive> {
    this.#sequence += 1;
    this.#beat(this.#sequence);
    return this.next('alive');
  }

  /** The next message of a kind, past or to come. Rejects when the stream ends before it comes. */
  async next<Kind extends keyof Messages>(kind: Kind, deadlineMs = ANSWER_DEADLINE_MS): Promise<Messages[Kind]> {
    return within(this.#until(() => this.taken(kind), kind), deadlineMs, `a message '${kind}'`);
  }

  /** The next message of a kind if it has arrived. */
  taken<Kind extends keyof Messages>(kind: Kind): Messages[Kind] | undefined {
    const index = this.#inbox.findIndex(({ $case }) => $case === kind);
    return index < 0 ? undefined : (this.#inbox.splice(index, 1)[0]!.value as Messages[Kind]);
  }

  /** How the stream ends. */
  async status(deadlineMs = ANSWER_DEADLINE_MS): Promise<StatusObject> {
    return within(this.ended, deadlineMs, 'the end of the stream');
  }

  /** Half-closes: takes its leave, and waits for the end of the stream. */
  async leave(): Promise<StatusObject> {
    clearInterval(this.#heartbeats);
    this.call.end();
    return this.status();
  }

  /** Breaks the connection, as a crashed host or a firewall does. */
  async breakOff(): Promise<void> {
    if (this.#proxy === undefined) throw new Error('Only a stream through a proxy can be broken.');
    clearInterval(this.#heartbeats);
    this.#proxy.cut();
    await this.ended;
    await this.#proxy.close();
  }

  /** From now on so many bytes a second come from the coordinator. */
  slowDown(bytesPerSecond: number): void {
    if (this.#proxy === undefined) throw new Error('Only a stream through a proxy can be slowed down.');
    this.#proxy.trickle(bytesPerSecond, 'to client');
  }

  /** Cancels the call. */
  async cancel(): Promise<void> {
    clearInterval(this.#heartbeats);
    this.call.cancel();
    await this.ended;
    await this.#proxy?.close();
  }

  #beat(sequence: number): void {
    this.send({ $case: 'heartbeat', value: { sequence, received: this.#received } });
  }

  #receive(message: Said): void {
    if (message.$case === 'alive' && message.value.sequence === AUTOMATIC) return;
    if (message.$case === 'lease') this.#received = Math.max(this.#received, message.value.number);
    this.#listeners.forEach((listener) => listener(message));
    this.#inbox.push(message);
    this.#wake();
  }

  #wake(): void {
    for (const look of this.#waiting) look();
  }

  #until<Result>(found: () => Result | undefined, what: string): Promise<Result> {
    return new Promise((resolve, reject) => {
      const look = (): void => {
        const result = found();
        if (result === undefined && this.#status === undefined) return;
        this.#waiting.delete(look);
        if (result !== undefined) resolve(result);
        else reject(new Error(`The stream ended (${this.#status!.code} ${this.#status!.details}) before a message '${what}'.`));
      };
      this.#waiting.add(look);
      look();
    });
  }
}

const outcome = (jobId: string, what: JobOutcome['outcome'], followUps: JobOutcome['followUps'] = []): JobOutcome => ({
  jobId, outcome: what, followUps,
});

const durationOf = (ms: number) => ({ seconds: Math.trunc(ms / 1_000), nanos: (ms % 1_000) * 1_000_000 });

/** With the result as bytes, and jobs to be committed with it. */
export function succeeded(jobId: string, { result, followUps }: { result?: string; followUps?: JobOutcome['followUps'] } = {}): JobOutcome {
  const payload = result === undefined ? undefined : { content: { $case: 'data' as const, value: Buffer.from(result) }, contentType: '' };
  return outcome(jobId, { $case: 'succeeded', value: { result: payload } }, followUps);
}

/** Tried again after `retryDelayMs`; undefined: after the queue's backoff. */
export function failed(jobId: string, { retryDelayMs, permanent = false }: { retryDelayMs?: number; permanent?: boolean } = {}): JobOutcome {
  const error = { code: 'TEST', message: 'failed on purpose', details: '' };
  return outcome(jobId, {
    $case: 'failed',
    value: { error, permanent, retryDelay: retryDelayMs === undefined ? undefined : durationOf(retryDelayMs) },
  });
}

export function released(jobId: string, delayMs?: number): JobOutcome {
  return outcome(jobId, { $case: 'released', value: { delay: delayMs === undefined ? undefined : durationOf(delayMs) } });
}

export function snoozed(jobId: string, delayMs: number): JobOutcome {
  return outcome(jobId, { $case: 'snoozed', value: { delay: durationOf(delayMs) } });
}
