import { ServerInterceptingCall } from '@grpc/grpc-js';
import type { ServerInterceptor } from '@grpc/grpc-js';
import { SkipleaseError } from '../errors.ts';
import type { StatusMapper } from './status.ts';

const RETRY_MS = 500;

/** While the port is taken and there is no engine behind it, at the start and when it starts over, every call is told to come back. */
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
      start: () => call.sendStatus(this.#statuses.forCall(starting(), method.path)),
    });
  }
}

function starting(): SkipleaseError {
  return new SkipleaseError('UNAVAILABLE', 'STARTING', 'This coordinator is starting.', { retryAfterMs: RETRY_MS });
}
