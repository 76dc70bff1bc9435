import { ChannelCredentials } from '@grpc/grpc-js';
import type { Client } from '@grpc/grpc-js';
import { z } from 'zod';
import type { PayloadCodec } from '../codec/codec.ts';
import { codecSchema } from '../options.ts';
import { channelSecurity, securitySchema } from '../wire/security.ts';
import type { SecurityOptions } from '../wire/security.ts';
import { messageBytesMaxDefault } from './chunks.ts';
import { Coordinators } from './coordinators.ts';
import type { ServiceClient } from './coordinators.ts';

/** What every client takes. */
export interface ClientOptions extends SecurityOptions {
  /** Coordinators, `host:port`. One is used until it cannot be reached, then the next. */
  addresses: readonly string[];
  /** How long one try of a call may take, in milliseconds. Default 10,000. */
  timeoutMs?: number;
  /** How often a call that failed in passing is tried in all. Default 8 (some ten seconds of waiting at most). */
  triesMax?: number;
  /** Writes payloads before they are sent, and reads those that come back, results too. Default: as they are. */
  codec?: PayloadCodec;
  /** Of grpc-js, instead of `tls`. */
  credentials?: ChannelCredentials;
}

const schema = z.strictObject({
  addresses: z.array(z.string().min(1)).min(1),
  timeoutMs: z.number().positive().optional(),
  triesMax: z.int().min(1).optional(),
  messageBytesMax: z.int().min(1_024).optional(),
  codec: codecSchema,
  ...securitySchema,
  credentials: z.instanceof(ChannelCredentials).optional(),
});

/** The coordinators that a client of one service talks to. Throws TypeError that names each bad option. */
export function coordinatorsOf<Service extends Client>(
  service: ServiceClient<Service>, options: ClientOptions & { messageBytesMax?: number },
): Coordinators<Service> {
  const checked = schema.safeParse(options);
  if (!checked.success) throw new TypeError(`these client options cannot be used:\n${z.prettifyError(checked.error)}`);
  return new Coordinators(service, {
    addresses: [...options.addresses],
    security: channelSecurity(options),
    codec: options.codec,
    timeoutMs: options.timeoutMs ?? 10_000,
    triesMax: options.triesMax ?? 8,
    messageBytesMax: options.messageBytesMax ?? messageBytesMaxDefault,
  });
}
