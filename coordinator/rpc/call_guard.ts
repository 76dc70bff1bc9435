import { ServerInterceptingCall, ServerListenerBuilder } from '@grpc/grpc-js';
import type { Metadata, ServerInterceptingCallInterface, ServerInterceptor, ServerMethodDefinition } from '@grpc/grpc-js';
import type { Access } from '../security/access.ts';
import type { Authenticator, Credentials } from '../security/authenticator.ts';
import { expiredToken, takenBack } from '../security/refusals.ts';
import { checkRule } from './check_rule.ts';
import { rememberAccess } from './identity.ts';
import { METHOD_RULES } from './method_rules.ts';
import type { StatusMapper } from './status.ts';

/** Open streams are asked again this often: a key may have been taken back, which nobody tells. */
const ASK_AGAIN_MS = 60_000;
/** The longest that a timer can wait. */
const TIMER_MS_MAX = 2 ** 31 - 1;
const AUTHORIZATION = 'authorization';

type Method = ServerMethodDefinition<unknown, unknown>;

/**
 * Who calls, and may they? Asked when a call opens, before a byte of its messages is read, and for each message. Streams are closed when
 * what proved their caller expires, or is taken back. Only put in front of the services where there is somebody to ask.
 */
export class CallGuard {
  readonly #authenticator: Authenticator;
  readonly #statuses: StatusMapper;
  readonly #streams = new Set<GuardedCall>();
  readonly #timer: NodeJS.Timeout;

  constructor(authenticator: Authenticator, statuses: StatusMapper) {
    this.#authenticator = authenticator;
    this.#statuses = statuses;
    authenticator.onChange(() => this.#askAgain());
    this.#timer = setInterval(() => this.#askAgain(), ASK_AGAIN_MS).unref();
  }

  close(): void {
    clearInterval(this.#timer);
  }

  get interceptor(): ServerInterceptor {
    return (method, call) => {
      if (METHOD_RULES[method.path]?.needs === 'nothing') {
        return new ServerInterceptingCall(call);
      }
      const guarded = new GuardedCall(method, call, this.#authenticator, this.#statuses);
      if (method.requestStream || method.responseStream) {
        this.#streams.add(guarded);
        guarded.onEnd = () => this.#streams.delete(guarded);
      }
      return guarded.intercept();
    };
  }

  #askAgain(): void {
    for (const stream of this.#streams) {
      void stream.askAgain();
    }
  }
}

class GuardedCall {
  onEnd: () => void = () => {};
  readonly #method: Method;
  readonly #call: ServerInterceptingCallInterface;
  readonly #authenticator: Authenticator;
  readonly #statuses: StatusMapper;
  #metadata: Metadata | undefined;
  #credentials: Credentials | undefined;
  #access: Access | undefined;
  /** Queues that the messages of this stream have named. */
  #queues: readonly string[] = [];
  #expiry: NodeJS.Timeout | undefined;
  #ended = false;

  constructor(method: Method, call: ServerInterceptingCallInterface, authenticator: Authenticator, statuses: StatusMapper) {
    this.#method = method;
    this.#call = call;
    this.#authenticator = authenticator;
    this.#statuses = statuses;
  }

  intercept(): ServerInterceptingCall {
    const listener = new ServerListenerBuilder()
      .withOnReceiveMetadata((metadata, pass) => void this.#open(metadata, pass))
      .withOnReceiveMessage((message: unknown, pass) => this.#receive(message, pass))
      .withOnCancel(() => this.#forget())
      .build();
    return new ServerInterceptingCall(this.#call, {
      start: (next) => next(listener),
      // After its end the handler, which hears of it a moment later, has nothing more to say.
      sendMessage: (message, next) => this.#ended || next(message),
      sendStatus: (status, next) => {
        if (!this.#ended) {
          this.#forget();
          next(status);
        }
      },
    });
  }

  /** What was found out when the stream opened may not hold any more. */
  async askAgain(): Promise<void> {
    if (this.#access === undefined || this.#ended) {
      return;
    }
    try {
      const access = await this.#authenticator.authenticate(this.#credentials!);
      if (access.name !== this.#access.name) {
        throw takenBack();
      }
      checkRule(this.#method.path, access, this.#queues);
      this.#admit(access);
    } catch (error) {
      // Where nobody can tell, what was true stays so until it expires.
      if (!isUnavailable(error)) {
        this.#end(error);
      }
    }
  }

  async #open(metadata: Metadata, pass: (metadata: Metadata) => void): Promise<void> {
    this.#metadata = metadata;
    this.#credentials = {
      authorization: metadata.get(AUTHORIZATION).map(String),
      certificate: () => this.#call.getAuthContext().sslPeerCertificate,
    };
    // Nobody behind this needs it, and what nobody has nobody prints.
    metadata.remove(AUTHORIZATION);
    try {
      const found = this.#authenticator.authenticate(this.#credentials);
      const access = found instanceof Promise ? await found : found;
      checkRule(this.#method.path, access, []);
      this.#admit(access);
    } catch (error) {
      this.#end(error);
      return;
    }
    pass(metadata);
  }

  #receive(message: unknown, pass: (message: unknown) => void): void {
    try {
      const queues = METHOD_RULES[this.#method.path]!.queues(message as never);
      if (queues.length > 0) {
        checkRule(this.#method.path, this.#access!, queues);
        this.#queues = queues;
      }
    } catch (error) {
      this.#end(error);
      return;
    }
    pass(message);
  }

  #admit(access: Access): void {
    this.#access = access;
    rememberAccess(this.#metadata!, access);
    clearTimeout(this.#expiry);
    if (access.expiresAtMs !== Infinity) {
      this.#expiry = setTimeout(() => this.#end(expiredToken()), Math.min(TIMER_MS_MAX, access.expiresAtMs - Date.now())).unref();
    }
  }

  #end(error: unknown): void {
    if (!this.#ended) {
      this.#forget();
      this.#call.sendStatus(this.#statuses.forCall(error, this.#method.path));
    }
  }

  #forget(): void {
    this.#ended = true;
    clearTimeout(this.#expiry);
    this.onEnd();
  }
}

function isUnavailable(error: unknown): boolean {
  return (error as { code?: unknown }).code === 'UNAVAILABLE';
}
