import { ServerInterceptingCall, ServerListenerBuilder } from '@grpc/grpc-js';
import type { ServerInterceptor } from '@grpc/grpc-js';
import type { Engine } from '../engine/engine.ts';
import { clientOf } from './identity.ts';
import type { StatusMapper } from './status.ts';

/** The flood is turned away chunk by chunk: rpc/stream_submit.ts. */
const SUBMITS = new Set(['/skiplease.v1.JobService/SubmitJob', '/skiplease.v1.JobService/SubmitJobs']);

/**
 * Turns a submit away before its message is read: with too much of them, reading what is then refused would leave no time for
 * what is not. Comes after whoever finds out who calls.
 */
export class SubmitGate {
  readonly #statuses: StatusMapper;
  /** Set once there is an engine. */
  engine: Pick<Engine, 'submitRefusal'> | undefined;

  constructor(statuses: StatusMapper) {
    this.#statuses = statuses;
  }

  get interceptor(): ServerInterceptor {
    return (method, call) => (SUBMITS.has(method.path) ? new ServerInterceptingCall(call, {
      start: (next) => next(new ServerListenerBuilder().withOnReceiveMetadata((metadata, pass) => {
        const refusal = this.engine?.submitRefusal(clientOf({ metadata, getPeer: () => call.getPeer() }));
        if (refusal === undefined) {
          pass(metadata);
        } else {
          call.sendStatus(this.#statuses.forCall(refusal, method.path));
        }
      }).build()),
    }) : new ServerInterceptingCall(call));
  }
}
