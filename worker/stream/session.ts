import { status as codes } from '@grpc/grpc-js';
import type { StatusObject } from '@grpc/grpc-js';
import { CancelReason } from '../../proto/gen/skiplease/v1/worker_service.ts';
import type {
  Cancel,
  Hello,
  Lease,
  LeaseResponse,
  Receipt,
  Welcome,
  WorkerServiceClient,
} from '../../proto/gen/skiplease/v1/worker_service.ts';
import { monotonicMs } from '../clock.ts';
import type { Validity } from '../lease/validity.ts';
import { SkipleaseError } from '../skiplease_error.ts';
import { msFromDuration } from '../wire/duration.ts';
import { openLeaseCall } from '../wire/lease_call.ts';
import type { LeaseCall } from '../wire/lease_call.ts';
import { Heartbeats } from './heartbeats.ts';
import type { Trouble } from './heartbeats.ts';
import { StreamWriter } from './stream_writer.ts';

/** How long a half-closed stream may take to answer what was sent before it is cut, in milliseconds. */
const goodbyeMs = 2_000;

/** What a session tells those that own the work. Called from the stream's own events, never after its end. */
export interface SessionListener {
  onWelcome(session: Session, welcome: Welcome): void;
  onLease(lease: Lease): void;
  onReceipt(receipt: Receipt): void;
  onCancel(cancel: Cancel): void;
  /** There is someone to talk to again: an answer came, or a full stream has drained. */
  onAlive(): void;
  onWritable(): void;
  onEnd(session: Session): void;
}

export interface SessionOptions {
  address: string;
  client: WorkerServiceClient;
  hello: Hello;
  /** How long the coordinator may take to say welcome, in milliseconds. */
  welcomeWaitMs: number;
  validity: Validity;
  /** There are other coordinators to go to, should this one lose its database. */
  elsewhere: boolean;
  listener: SessionListener;
}

/** One open stream, on a connection of its own: hello to its end. It never reconnects. */
export class Session {
  readonly address: string;
  readonly hello: Hello;
  readonly writer: StreamWriter;
  /** Fires when the stream has ended. */
  readonly endSignal: AbortSignal;
  /** Resolves to undefined at the welcome, or to why there was none. */
  readonly opened: Promise<SkipleaseError | undefined>;
  /** Set once the coordinator has said welcome. */
  welcome: Welcome | undefined;
  /** Set at the end, unless it was an orderly one. */
  endError: SkipleaseError | undefined;
  /** Why to go elsewhere while this stream still works. */
  moveReason: 'drain' | Trouble | undefined;

  readonly #options: SessionOptions;
  readonly #call: LeaseCall;
  readonly #openedAtMs = monotonicMs();
  readonly #ended = new AbortController();
  readonly #welcomeTimer: NodeJS.Timeout;
  #settleOpened: (error: SkipleaseError | undefined) => void = () => {};
  #heartbeats: Heartbeats | undefined;
  #received = 0;
  #retired = false;
  #parked: LeaseResponse[] | undefined;
  #wake: (() => void) | undefined;

  constructor(options: SessionOptions) {
    this.#options = options;
    this.address = options.address;
    this.hello = options.hello;
    this.endSignal = this.#ended.signal;
    this.opened = new Promise((resolve) => (this.#settleOpened = resolve));
    this.#call = openLeaseCall(options.client);
    this.#call.on('data', (response: LeaseResponse) => this.#receive(response));
    this.#call.on('error', () => {}); // `status` follows and says the same
    this.#call.on('status', (status: StatusObject) => this.#end(status));
    this.writer = new StreamWriter(this.#call, () => options.listener.onWritable());
    this.#welcomeTimer = setTimeout(() => {
      const details = `no welcome from ${this.address} within ${options.welcomeWaitMs} ms`;
      this.#end({ code: codes.DEADLINE_EXCEEDED, details });
    }, options.welcomeWaitMs);
    this.writer.write({ $case: 'hello', value: options.hello });
  }

  get ended(): boolean {
    return this.#ended.signal.aborted;
  }

  /** Milliseconds since the hello. */
  get ageMs(): number {
    return monotonicMs() - this.#openedAtMs;
  }

  /** Resolves when the stream has ended, or when there is a reason to go elsewhere. */
  change(): Promise<void> {
    if (this.ended || this.moveReason !== undefined) return Promise.resolve();
    return new Promise((resolve) => (this.#wake = resolve));
  }

  /**
   * From now on leases and losses are kept aside: another stream's hello is under way, which does not name those
   * leases, and if it is welcomed then they go back, and the losses are only our own move.
   */
  park(): void {
    this.#parked ??= [];
  }

  /** The move came to nothing: what was kept aside counts after all. */
  unpark(): void {
    const parked = this.#parked ?? [];
    this.#parked = undefined;
    for (const response of parked) this.#receive(response);
  }

  /** Says goodbye after a move: everything that this stream could still say is said again on the new one. */
  retire(): void {
    this.#retired = true;
    this.#sayGoodbye();
  }

  /** Half-closes, and resolves when the coordinator has answered everything, or has taken too long. */
  async close(): Promise<void> {
    this.#sayGoodbye();
    if (this.ended) return;
    await new Promise<void>((resolve) => this.endSignal.addEventListener('abort', () => resolve(), { once: true }));
  }

  /** Ends the stream now. */
  cut(): void {
    this.#end({ code: codes.CANCELLED, details: 'given up by the worker' });
  }

  #sayGoodbye(): void {
    this.#heartbeats?.stop();
    this.writer.close();
    if (this.ended) return;
    this.#call.end();
    const timer = setTimeout(() => this.cut(), goodbyeMs);
    this.endSignal.addEventListener('abort', () => clearTimeout(timer), { once: true });
  }

  #receive(response: LeaseResponse): void {
    const message = response.message;
    if (this.ended || this.#retired || message === undefined) return;
    if (this.#parked !== undefined && isParkable(message)) {
      this.#parked.push(response);
      return;
    }
    const { listener } = this.#options;
    switch (message.$case) {
      case 'welcome':
        return this.#welcomed(message.value);
      case 'lease':
        this.#received = Math.max(this.#received, message.value.number);
        return listener.onLease(message.value);
      case 'receipt':
        return listener.onReceipt(message.value);
      case 'cancel':
        return listener.onCancel(message.value);
      case 'alive':
        this.#heartbeats?.answered(message.value);
        return listener.onAlive();
      case 'drain':
        this.moveReason = 'drain';
        return this.#wake?.();
    }
  }

  #welcomed(welcome: Welcome): void {
    const { validity, listener } = this.#options;
    clearTimeout(this.#welcomeTimer);
    this.welcome = welcome;
    const leaseTtlMs = msFromDuration(welcome.leaseTtl) ?? 0;
    validity.extendTo(this.#openedAtMs + leaseTtlMs);
    this.#heartbeats = new Heartbeats({
      intervalMs: msFromDuration(welcome.heartbeatInterval) || 1_000,
      leaseTtlMs,
      writer: this.writer,
      validity,
      received: () => this.#received,
      onTrouble: (trouble) => this.#troubled(trouble),
    });
    listener.onWelcome(this, welcome);
    this.#settleOpened(undefined);
  }

  /** A drain stays a reason until the end; a trouble may pass. */
  #troubled(trouble: Trouble | undefined): void {
    if (this.moveReason === 'drain') return;
    this.moveReason = trouble === 'standing' && !this.#options.elsewhere ? undefined : trouble;
    if (this.moveReason !== undefined) this.#wake?.();
  }

  #end(status: { code: codes; details: string; metadata?: StatusObject['metadata'] }): void {
    if (this.ended) return;
    clearTimeout(this.#welcomeTimer);
    this.#heartbeats?.stop();
    this.writer.close();
    if (status.code !== codes.OK) this.endError = SkipleaseError.fromStatus(status);
    this.#ended.abort();
    this.#settleOpened(this.endError ?? new SkipleaseError(codes.UNAVAILABLE, 'the stream ended before its welcome'));
    this.#options.listener.onEnd(this);
    this.#wake?.();
    this.#call.cancel();
    this.#options.client.close();
  }
}

function isParkable(message: NonNullable<LeaseResponse['message']>): boolean {
  if (message.$case === 'lease') return true;
  return message.$case === 'cancel' && message.value.reason !== CancelReason.JOB_CANCELLED;
}
