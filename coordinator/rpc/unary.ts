import type { handleUnaryCall } from '@grpc/grpc-js';
import { SkipleaseError } from '../errors.ts';
import type { Access } from '../security/access.ts';
import { accessOf, clientOf } from './identity.ts';
import type { StatusMapper } from './status.ts';

/** Ordinary calls that wait for one of the few connections, before more are told to come back later. */
const ORDINARY_CALLS_MAX = 500;
const BUSY_RETRY_MS = 1_000;

type Handle<Request, Response> = (request: Request, stopped: () => boolean, access: Access, client: string) => Promise<Response>;

/** Makes handlers of plain asynchronous functions: whatever they throw is answered by the one map of errors. */
export class UnaryCalls {
  readonly #statuses: StatusMapper;
  #ordinary = 0;

  constructor(statuses: StatusMapper) {
    this.#statuses = statuses;
  }

  /** For calls with a bound of their own. `stopped`: the caller has gone, or its deadline has passed. `access`: what it may do; `client`: who it is, to count its calls. */
  handler<Request, Response>(handle: Handle<Request, Response>): handleUnaryCall<Request, Response> {
    return (call, callback) => {
      handle(call.request, () => call.cancelled, accessOf(call), clientOf(call)).then(
        (response) => callback(null, response),
        (error: unknown) => callback(this.#statuses.forCall(error, call.getPath())),
      );
    };
  }

  /** For calls that ask the database through the pool: RESOURCE_EXHAUSTED when too many wait. */
  ordinary<Request, Response>(handle: Handle<Request, Response>): handleUnaryCall<Request, Response> {
    return this.handler(async (request: Request, stopped, access, client) => {
      if (this.#ordinary >= ORDINARY_CALLS_MAX) {
        throw new SkipleaseError('RESOURCE_EXHAUSTED', 'TOO_MANY_CALLS', `${ORDINARY_CALLS_MAX} calls wait for the database already.`,
          { retryAfterMs: BUSY_RETRY_MS });
      }
      this.#ordinary += 1;
      try {
        return await handle(request, stopped, access, client);
      } finally {
        this.#ordinary -= 1;
      }
    });
  }
}
