import { readFile } from 'node:fs/promises';
import { credentials as channels, InterceptingCall, Metadata, status as codes } from '@grpc/grpc-js';
import type { ChannelCredentials, Interceptor } from '@grpc/grpc-js';
import { z } from 'zod';

/** TLS to the coordinators. PEM, as text or bytes. */
export interface TlsOptions {
  /** The authorities that vouch for coordinators. Default: those that Node knows. */
  ca?: string | Uint8Array;
  /** This client's own certificate (with those between it and its authority) and key, where coordinators ask for one. */
  cert?: string | Uint8Array;
  key?: string | Uint8Array;
}

/** How a worker or a client knows whom it talks to, and proves who it is. */
export interface SecurityOptions {
  /** Default: no TLS. `true`: with the authorities that Node knows. */
  tls?: true | TlsOptions;
  /** Sent with each call. A function is asked for it each time, so that it can be exchanged: `tokenFromFile`, say. */
  token?: string | (() => string | Promise<string>);
}

/** What channels are opened with. */
export interface ChannelSecurity {
  credentials: ChannelCredentials;
  interceptors: Interceptor[];
  /** The token is asked for anew with each call. */
  tokenChanges: boolean;
}

const pem = z.union([z.string().min(1), z.instanceof(Uint8Array)]).optional();

/** Of the options above, in zod's words. */
export const securitySchema = {
  tls: z.union([z.literal(true), z.strictObject({ ca: pem, cert: pem, key: pem })
    .refine(({ cert, key }) => (cert === undefined) === (key === undefined), 'cert and key go together')]).optional(),
  token: z.union([z.string().min(1), z.custom((value) => typeof value === 'function')]).optional(),
};

/** `credentials`: grpc-js's own, instead of `tls`. Throws TypeError for certificates that cannot be used. */
export function channelSecurity({ tls, token, credentials }: SecurityOptions & { credentials?: ChannelCredentials }): ChannelSecurity {
  if (tls !== undefined && credentials !== undefined) throw new TypeError('give tls or credentials, not both');
  return {
    credentials: credentials ?? channelOf(tls),
    interceptors: token === undefined ? [] : [sendToken(token)],
    tokenChanges: typeof token === 'function',
  };
}

/** A token that is kept in a file, and may be exchanged there at any time (as Kubernetes does with those of service accounts). */
export function tokenFromFile(path: string): () => Promise<string> {
  return async () => (await readFile(path, 'utf8')).trim();
}

function channelOf(tls: true | TlsOptions | undefined): ChannelCredentials {
  if (tls === undefined) return channels.createInsecure();
  const { ca, cert, key } = tls === true ? {} : tls;
  const bytes = (given: string | Uint8Array | undefined) => (given === undefined ? null : Buffer.from(given as string));
  try {
    return channels.createSsl(bytes(ca), bytes(key), bytes(cert));
  } catch (error) {
    throw new TypeError(`the certificates of tls cannot be used: ${(error as Error).message}`, { cause: error });
  }
}

function sendToken(token: string | (() => string | Promise<string>)): Interceptor {
  return (options, nextCall) => new InterceptingCall(nextCall(options), {
    start: (metadata, listener, next) => {
      const send = (value: string) => {
        metadata.set('authorization', `Bearer ${value}`);
        next(metadata, listener);
      };
      if (typeof token === 'string') {
        send(token);
        return;
      }
      Promise.resolve().then(token).then(send, (error: unknown) => {
        const details = `there is no token to call with: ${error instanceof Error ? error.message : String(error)}`;
        listener.onReceiveStatus({ code: codes.UNAVAILABLE, details, metadata: new Metadata() });
      });
    },
  });
}
