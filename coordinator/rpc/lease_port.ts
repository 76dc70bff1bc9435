import type { ServerDuplexStream } from '@grpc/grpc-js';
import type { LeaseRequest, LeaseResponse, Welcome } from '../../proto/gen/skiplease/v1/worker_service.ts';
import { durationOf, type CancelMessage, type LeaseMessage, type ReceiptMessage } from '../engine/messages.ts';
import type { Session, SessionPort } from '../engine/session.ts';
import { SkipleaseError } from '../errors.ts';
import type { StatusMapper } from './status.ts';

/** A reader that takes nothing for this share of the time to live is let go, so that it can still resume elsewhere. */
const STALL_SHARE_OF_TTL = 0.75;
/** How often it is looked whether it takes something, in that time. */
const STALL_LOOKS = 6;
const METHOD = '/skiplease.v1.WorkerService/Lease';

/** What the engine says to one worker, written to its stream. */
export class LeasePort implements SessionPort {
  session: Session | undefined;
  closed = false;
  /** A write was refused, and the stream has not drained since. */
  stalled = false;
  readonly #call: ServerDuplexStream<LeaseRequest, LeaseResponse>;
  readonly #statuses: StatusMapper;
  readonly #stallMsMax: number;
  #timer: NodeJS.Timeout | undefined;
  /** Messages written so far; of those, taken by the reader at the last look, and when it last took some. */
  #written = 0;
  #taken = 0;
  #takenMs = 0;

  /** `drained` is called when the stream takes writes again. */
  constructor(call: ServerDuplexStream<LeaseRequest, LeaseResponse>, statuses: StatusMapper, ttlMs: number, drained: () => void) {
    this.#call = call;
    this.#statuses = statuses;
    this.#stallMsMax = ttlMs * STALL_SHARE_OF_TTL;
    call.on('drain', () => {
      clearInterval(this.#timer);
      this.stalled = false;
      if (this.session !== undefined) {
        this.session.stalled = false;
      }
      drained();
    });
  }

  welcome(value: Welcome): boolean {
    return this.#write({ message: { $case: 'welcome', value } });
  }

  lease(value: LeaseMessage): boolean {
    return this.#write({ message: { $case: 'lease', value } });
  }

  receipt(value: ReceiptMessage): boolean {
    return this.#write({ message: { $case: 'receipt', value } });
  }

  alive(sequence: number, validForMs: number): boolean {
    return this.#write({ message: { $case: 'alive', value: { sequence, validFor: durationOf(validForMs) } } });
  }

  cancel(value: CancelMessage): boolean {
    return this.#write({ message: { $case: 'cancel', value } });
  }

  drain(deadlineMs: number): boolean {
    return this.#write({ message: { $case: 'drain', value: { deadline: durationOf(deadlineMs) } } });
  }

  close(error?: Error): void {
    if (this.closed) {
      return;
    }
    this.gone();
    if (error === undefined) {
      this.#call.end();
    } else {
      // grpc-js ends the call with the status of an emitted error.
      this.#call.emit('error', this.#statuses.forCall(error, METHOD));
    }
  }

  /** Nothing more is written. */
  gone(): void {
    this.closed = true;
    clearInterval(this.#timer);
  }

  #write(response: LeaseResponse): boolean {
    if (this.closed) {
      return true;
    }
    this.#written += 1;
    if (!this.#call.write(response) && !this.stalled) {
      this.#stall();
    }
    return !this.stalled;
  }

  /** Nothing more is leased until all is taken, which lasts where it is much and the reader slow; one that takes nothing is let go. */
  #stall(): void {
    this.stalled = true;
    if (this.session !== undefined) {
      this.session.stalled = true;
    }
    this.#takenMs = performance.now();
    this.#timer = setInterval(() => this.#look(), this.#stallMsMax / STALL_LOOKS).unref();
  }

  #look(): void {
    const taken = this.#written - this.#call.writableLength;
    const nowMs = performance.now();
    if (taken > this.#taken) {
      this.#taken = taken;
      this.#takenMs = nowMs;
      // Its heartbeats may stand behind reports that are not read meanwhile.
      if (this.session !== undefined) {
        this.session.heardMs = nowMs;
      }
    } else if (nowMs - this.#takenMs >= this.#stallMsMax) {
      this.close(new SkipleaseError('RESOURCE_EXHAUSTED', 'NOBODY_READS',
        'Nothing was read from this stream for too long. Connect again, name the tokens that are held, and read.'));
    }
  }
}
