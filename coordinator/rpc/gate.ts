import { ServerInterceptingCall } from '@grpc/grpc-js';
import type { ServerInterceptor } from '@grpc/grpc-js';
import { SkipleaseError } from '../errors.ts';
import type { StatusMapper } from './status.ts';

const RETRY_MS = 500;

/** While the port is taken and there is no engine behind it (at the start, at the end, in between when it starts over) every call is told to come back. */
export class Gate {
  readonly #statuses: StatusMapper;
  #open = false;

  constructor(statuses: StatusMapper) {
    this.#statuses = statuses;
  }

  open(): void {
    this.#open = true;
  }

  close(): void {
    this.#open = false;
  }

  get interceptor(): ServerInterceptor {
    return (method, call) => new ServerInterceptingCall(call, this.#open ? {} : {
      start: () => call.sendStatus(this.#statuses.forCall(notServing(), method.path)),
    });
  }
}

function notServing(): SkipleaseError {
  return new SkipleaseError('UNAVAILABLE', 'NOT_SERVING', 'This coordinator is starting, or about to end. Try again, here or at another one.', { retryAfterMs: RETRY_MS });
}
