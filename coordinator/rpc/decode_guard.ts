import { ServerInterceptingCall, ServerListenerBuilder } from '@grpc/grpc-js';
import type { MethodDefinition, ServerInterceptor } from '@grpc/grpc-js';
import { invalidArgument, SkipleaseError } from '../errors.ts';
import type { StatusMapper } from './status.ts';

/** Stands in for a request that could not be read. */
class Unreadable {
  readonly error: SkipleaseError;

  constructor(error: SkipleaseError) {
    this.error = error;
  }
}

/** Methods of one service, by name: what grpc.Server.addService takes. */
export type Methods = Record<string, MethodDefinition<unknown, unknown>>;

/**
 * grpc-js ends a call with INTERNAL when its request does not decode (truncated, a Duration of 2^60 seconds), and a
 * message over its limit without details. Both are the caller's mistake: here they become a value, which the interceptor
 * below turns into an answer, for every kind of call in one place.
 */
export function guardDecoding<Service extends object>(service: Service, receiveBytesMax: number): Service {
  const guarded = Object.entries(service as Methods).map(([name, method]) => [name, {
    ...method,
    requestDeserialize: (bytes: Buffer) => {
      if (bytes.byteLength > receiveBytesMax) {
        const description = `the message is ${bytes.byteLength} bytes long: at most ${receiveBytesMax} are accepted`;
        return new Unreadable(new SkipleaseError('RESOURCE_EXHAUSTED', 'MESSAGE_TOO_LARGE', `${description}; send less at once`,
          { violations: [{ field: '', description }] }));
      }
      try {
        return method.requestDeserialize(bytes);
      } catch (error) {
        return new Unreadable(undecodable(error));
      }
    },
  }]);
  return Object.fromEntries(guarded) as Service;
}

/** INVALID_ARGUMENT for what `decode` threw at a message. */
export function undecodable(error: unknown): SkipleaseError {
  return invalidArgument([{ field: '', description: `the message cannot be decoded: ${(error as Error).message}` }]);
}

/**
 * Answers what guardDecoding could not read, before any handler sees it. What the handler still has to say to earlier messages is
 * dropped: written behind the status it would destroy the stream before that is sent, and the client would wait for ever.
 */
export function answerUnreadable(statuses: StatusMapper): ServerInterceptor {
  return (method, call) => {
    let answered = false;
    return new ServerInterceptingCall(call, {
      start: (next) => next(new ServerListenerBuilder().withOnReceiveMessage((message: unknown, pass) => {
        if (message instanceof Unreadable) {
          answered = true;
          call.sendStatus(statuses.forCall(message.error, method.path));
        } else {
          pass(message);
        }
      }).build()),
      sendMessage: (message: unknown, next) => {
        if (!answered) {
          next(message);
        }
      },
      sendStatus: (status, next) => {
        if (!answered) {
          next(status);
        }
      },
    });
  };
}
