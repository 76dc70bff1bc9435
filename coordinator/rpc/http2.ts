import { constants } from 'node:http2';
import type { Http2Server, IncomingHttpHeaders, ServerHttp2Stream, ServerOptions } from 'node:http2';
import { status } from '@grpc/grpc-js';
import type { Server } from '@grpc/grpc-js';

/** Calls that one connection may have open; a client waits for one to end, or connects once more. */
export const STREAMS_PER_CONNECTION_MAX = 1_000;

/**
 * What node:http2 bounds on each connection, said here also where it is its default. Sizes in bytes. What it bounds by itself:
 * CONTINUATION frames of one header block (8), PINGs and SETTINGS whose answers nobody reads (1,000).
 */
const BOUNDS: ServerOptions = {
  settings: { maxConcurrentStreams: STREAMS_PER_CONNECTION_MAX, maxHeaderListSize: 16_384 },
  maxHeaderListPairs: 128,
  maxSettings: 32,
  // Calls that are begun and cancelled: all of a connection's at once, then so many each second. Beyond, it is closed.
  streamResetBurst: STREAMS_PER_CONNECTION_MAX,
  streamResetRate: 100,
  maxSessionInvalidFrames: 100,
  maxSessionRejectedStreams: 100,
};

/** grpc-js takes no options for node:http2 and shows nobody its servers: it keeps them here. The tests of abuse fail if it does not. */
interface Insides {
  commonServerOptions: ServerOptions;
  http2Servers: ReadonlyMap<Http2Server, unknown>;
}

/** Before it listens: what a connection may do. */
export function boundConnections(server: Server): void {
  Object.assign((server as unknown as Insides).commonServerOptions, BOUNDS);
}

/** Once it listens: one for each address that the host's name stands for. */
export function http2ServersOf(server: Server): Http2Server[] {
  return [...(server as unknown as Insides).http2Servers.keys()];
}

/**
 * Ends a call whose messages are compressed. grpc-js would inflate whatever arrives, a thousandfold, on threads that go on when the
 * caller is long gone: two connections came to gigabytes. Payloads are opaque here; who wants them small compresses them.
 */
export function refuseCompressed(stream: ServerHttp2Stream, headers: IncomingHttpHeaders): void {
  if ((headers['grpc-encoding'] ?? 'identity') !== 'identity' && !stream.headersSent && !stream.closed) {
    stream.respond({
      'content-type': 'application/grpc', 'grpc-accept-encoding': 'identity', 'grpc-status': status.UNIMPLEMENTED,
      'grpc-message': 'Compressed messages are not accepted: compress payloads instead.',
    }, { endStream: true });
    stream.close(constants.NGHTTP2_NO_ERROR);
  }
}
