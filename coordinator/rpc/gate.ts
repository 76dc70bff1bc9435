import { ServerInterceptingCall } from '@grpc/grpc-js';
import type { ServerInterceptor } from '@grpc/grpc-js';
import { SkipleaseError } from '../errors.ts';
import type { StatusMapper } from './status.ts';

const RETRY_MS = 500;

/** Between the moment when the port is taken and the one when there is an engine behind it, every call is told to come back. */
export class Gate {
  readonly #statuses: StatusMapper;
  #open = false;

  constructor(statuses: StatusMapper) {
    this.#statuses = statuses;
  }

  open(): void {
    this.#open = true;
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
