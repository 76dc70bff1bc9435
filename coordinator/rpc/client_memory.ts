import { constants } from 'node:http2';
import type { Http2Server, IncomingHttpHeaders, ServerHttp2Session, ServerHttp2Stream } from 'node:http2';
import type { Log } from '../observe/log.ts';
import { MessageUnderWay } from './message_under_way.ts';

/**
 * What an open connection, and an open call, take beside what is counted. Resident memory of 3,000 connections without TLS and 6,000 calls that
 * did nothing: 17 to 21 KB and 10 to 14 KB each; TLS keeps buffers of its own.
 */
const CONNECTION_BYTES = 65_536;
const CALL_BYTES = 16_384;
const LOOK_INTERVAL_MS = 250;
/** A look comes sooner when so much has arrived since the last one. */
const LOOK_AFTER_BYTES = 33_554_432;
/** A message must be complete, and something of an answer be read, within this. */
const STALL_MS_MAX = 60_000;

/** Beyond what is too much, so that not every new connection costs a look at all of them. */
const SPARE_SHARE = 0.05;

interface OpenCall {
  stream: ServerHttp2Stream;
  headerBytes: number;
  message: MessageUnderWay;
  /** What the last look found, and when something of it was last seen to move: milliseconds. */
  messageNumber: number;
  unreadBytes: number;
  movedMs: number;
}

interface Connection {
  session: ServerHttp2Session;
  address: string;
  calls: Set<OpenCall>;
  /** At the last look. */
  bytes: number;
}

/**
 * What clients make this process hold: connections, open calls and their headers, messages that have begun to arrive, answers
 * that nobody reads. HTTP/2 bounds each call and connection, and nothing bounds their number; here one bound holds for all of
 * it. Beyond it the address that holds the most loses its heaviest connections: not those who came last, nor the workers.
 */
export class ClientMemory {
  readonly #bytesMax: number;
  readonly #log: Log;
  readonly #connections = new Map<ServerHttp2Session, Connection>();
  readonly #timer: NodeJS.Timeout;
  #arrivedBytes = 0;

  constructor(bytesMax: number, log: Log) {
    this.#bytesMax = bytesMax;
    this.#log = log;
    this.#timer = setInterval(() => this.#look(), LOOK_INTERVAL_MS).unref();
  }

  /** Counts what the clients of this server hold. */
  watch(server: Http2Server): void {
    server.on('session', (session) => this.#connected(session));
    // Behind grpc-js, which by now listens for the data of the calls that it takes.
    server.on('stream', (stream, headers) => this.#called(stream, headers));
  }

  stop(): void {
    clearInterval(this.#timer);
  }

  #connected(session: ServerHttp2Session): void {
    this.#connections.set(session, { session, address: session.socket.remoteAddress ?? '', calls: new Set(), bytes: CONNECTION_BYTES });
    session.once('close', () => this.#connections.delete(session));
    if (this.#connections.size * CONNECTION_BYTES > this.#bytesMax) {
      this.#look();
    }
  }

  #called(stream: ServerHttp2Stream, headers: IncomingHttpHeaders): void {
    const calls = this.#connections.get(stream.session as ServerHttp2Session)?.calls;
    if (calls === undefined || stream.destroyed) {
      return;
    }
    const message = new MessageUnderWay();
    const call = { stream, headerBytes: bytesOf(headers), message, messageNumber: 0, unreadBytes: 0, movedMs: performance.now() };
    calls.add(call);
    stream.on('data', (piece: Buffer) => {
      message.add(piece);
      this.#arrived(piece.length);
    });
    stream.once('close', () => calls.delete(call));
  }

  #arrived(bytes: number): void {
    this.#arrivedBytes += bytes;
    if (this.#arrivedBytes > LOOK_AFTER_BYTES) {
      this.#look();
    }
  }

  #look(): void {
    this.#arrivedBytes = 0;
    const nowMs = performance.now();
    let bytes = 0;
    for (const connection of this.#connections.values()) {
      connection.bytes = CONNECTION_BYTES;
      for (const call of connection.calls) {
        endIfStalled(call, nowMs);
        connection.bytes += CALL_BYTES + call.headerBytes + unhandledBytes(call) + call.unreadBytes;
      }
      bytes += connection.bytes;
    }
    const excessBytes = bytes - this.#bytesMax;
    if (excessBytes > 0) {
      this.#cutOff(excessBytes + this.#bytesMax * SPARE_SHARE);
    }
  }

  /** Of the heaviest addresses first the connections without a call, which their clients open again, then the heaviest. */
  #cutOff(excessBytes: number): void {
    const addresses = [...Map.groupBy(this.#connections.values(), ({ address }) => address)].map(([address, connections]) => ({
      address, closed: 0, left: connections.sort(lastToGoFirst), bytes: connections.reduce((sum, { bytes }) => sum + bytes, 0),
    }));
    for (let freed = 0; freed < excessBytes;) {
      const from = addresses.reduce((most, one) => (one.bytes > most.bytes ? one : most));
      const { session, bytes } = from.left.pop()!;
      session.destroy(undefined, constants.NGHTTP2_ENHANCE_YOUR_CALM);
      from.bytes -= bytes;
      from.closed += 1;
      freed += bytes;
    }
    for (const { address, closed } of addresses.filter(({ closed: count }) => count > 0)) {
      this.#log.warn({ event: 'clients_cut_off', address, connections: closed, client_bytes_max: this.#bytesMax },
        'closed connections: their clients made this coordinator hold too much (if they were right, raise SKIPLEASE_CLIENT_BYTES_MAX)');
    }
  }
}

function lastToGoFirst(a: Connection, b: Connection): number {
  return Number(a.calls.size === 0) - Number(b.calls.size === 0) || a.bytes - b.bytes;
}

function endIfStalled(call: OpenCall, nowMs: number): void {
  const { stream, message } = call;
  const unreadBytes = stream.writableLength;
  const waits = unreadBytes > 0 || !message.complete;
  if (!waits || message.number !== call.messageNumber || unreadBytes < call.unreadBytes) {
    call.movedMs = nowMs;
  } else if (nowMs - call.movedMs > STALL_MS_MAX) {
    stream.close(constants.NGHTTP2_ENHANCE_YOUR_CALM);
  }
  call.messageNumber = message.number;
  call.unreadBytes = unreadBytes;
}

/** grpc-js lets a call go on when its last message is taken. */
function unhandledBytes({ stream, message }: OpenCall): number {
  return !message.complete || stream.isPaused() ? message.bytes : 0;
}

function bytesOf(headers: IncomingHttpHeaders): number {
  let bytes = 0;
  for (const name in headers) {
    bytes += name.length + headers[name]!.length;
  }
  return bytes;
}
