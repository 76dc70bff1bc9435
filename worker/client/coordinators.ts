import type { ChannelCredentials, Client, ClientOptions, ServiceError } from '@grpc/grpc-js';
import type { JobServiceClient } from '../../proto/gen/skiplease/v1/job_service.ts';
import type { SkipleaseError } from '../skiplease_error.ts';
import type { PayloadCodec } from '../codec/codec.ts';
import { channelOptions } from '../wire/channel.ts';
import type { ChannelSecurity } from '../wire/security.ts';
import { isOfAddress, withRetries } from './retry.ts';

/** What a unary call of the generated client looks like once its request is bound. */
export type UnaryCall<Service, Response> = (
  client: Service,
  options: { deadline: number },
  callback: (error: ServiceError | null, response: Response) => void,
) => unknown;

/** A generated client of one service. */
export type ServiceClient<Service extends Client> = new (address: string, credentials: ChannelCredentials, options: ClientOptions) => Service;

export interface CoordinatorsOptions {
  addresses: readonly string[];
  security: ChannelSecurity;
  /** undefined: contents go as they are. */
  codec: PayloadCodec | undefined;
  /** Of one try, in milliseconds. */
  timeoutMs: number;
  triesMax: number;
  /** The largest message that is sent; one job alone may be larger. */
  messageBytesMax: number;
}

/** Of one call, instead of the client's. */
export interface CallBounds {
  timeoutMs?: number;
  triesMax?: number;
}

/** The coordinators that a client may talk to: one at a time, the next one when the one in use cannot be reached. */
export class Coordinators<Service extends Client = JobServiceClient> {
  readonly triesMax: number;
  readonly messageBytesMax: number;
  /** Of one try, in milliseconds. */
  readonly timeoutMs: number;
  readonly codec: PayloadCodec | undefined;
  readonly #service: ServiceClient<Service>;
  readonly #options: CoordinatorsOptions;
  readonly #clients = new Map<string, Service>();
  #index = 0;

  constructor(service: ServiceClient<Service>, options: CoordinatorsOptions) {
    this.#service = service;
    this.#options = options;
    this.triesMax = options.triesMax;
    this.messageBytesMax = options.messageBytesMax;
    this.timeoutMs = options.timeoutMs;
    this.codec = options.codec;
  }

  /** The client of the coordinator in use. */
  current(): Service {
    const { addresses, security } = this.#options;
    const address = addresses[this.#index]!;
    let client = this.#clients.get(address);
    if (client === undefined) {
      client = new this.#service(address, security.credentials, { ...channelOptions, interceptors: security.interceptors });
      this.#clients.set(address, client);
    }
    return client;
  }

  /** After an error of the way there the next one is used. */
  failed(error: SkipleaseError): void {
    if (isOfAddress(error)) this.#index = (this.#index + 1) % this.#options.addresses.length;
  }

  /** One call, repeated where that may help. Rejects with a SkipleaseError. */
  async call<Response>(start: UnaryCall<Service, Response>, bounds: CallBounds = {}): Promise<Response> {
    const { timeoutMs, triesMax } = { ...this.#options, ...bounds };
    const once = () =>
      new Promise<Response>((resolve, reject) => {
        start(this.current(), { deadline: Date.now() + timeoutMs }, (error, response) => {
          if (error === null) resolve(response);
          else reject(error);
        });
      });
    return withRetries(triesMax, once, (error) => this.failed(error));
  }

  close(): void {
    for (const client of this.#clients.values()) client.close();
    this.#clients.clear();
  }
}
