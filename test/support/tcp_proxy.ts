import { createConnection, createServer, type AddressInfo, type Socket } from 'node:net';
import { once } from 'node:events';

/** How the bytes of one direction are treated. */
interface Treatment {
  /** Each piece of bytes is passed on this much later; order is kept. */
  delayMs: number;
  /** At most so many bytes a second; Infinity: no limit. */
  bytesPerSecond: number;
  /** True: nothing is passed on, and nothing is said of it: the other side looks alive but is not. */
  silent: boolean;
}

/** A network between a client and a server on loopback, for tests that break it. */
export interface TcpProxy {
  /** 127.0.0.1:port, to be used instead of the server's address. */
  address: string;
  port: number;
  /** Live connections. */
  connections(): number;
  /** Breaks all connections at once (RST), as a crashed host or a firewall does. New ones are still accepted. */
  cut(): void;
  /** Refuses new connections (they are closed at once) until false. */
  refuse(on: boolean): void;
  /** Half-open: swallows all bytes of both directions, or of one, while the connections stay. False heals it: what was swallowed is lost. */
  freeze(on: boolean, direction?: Direction): void;
  /** Passes bytes on later, from now on. */
  delay(delayMs: number): void;
  /** Passes on at most so many bytes a second in each direction, or in one, from now on: a reader or writer that trickles. */
  trickle(bytesPerSecond: number, direction?: Direction): void;
  /** Where new connections go from now on: the server has moved. Old ones stay as they are. */
  aim(target: string): void;
  close(): Promise<void>;
}

export type Direction = 'to server' | 'to client' | 'both';

/** Trickled bytes are passed on in steps of this. */
const STEP_MS = 20;

/** Starts a proxy on a free port in front of `host:port`, which sees its connections come from `localAddress`. */
export async function startTcpProxy(target: string, { localAddress }: { localAddress?: string } = {}): Promise<TcpProxy> {
  let upstreamAddress = addressOf(target);
  const toServer: Treatment = { delayMs: 0, bytesPerSecond: Infinity, silent: false };
  const toClient: Treatment = { delayMs: 0, bytesPerSecond: Infinity, silent: false };
  const sockets = new Set<Socket>();
  let refusing = false;

  // A side that has said all it has to say may still listen, so that a half-close passes as one.
  const server = createServer({ allowHalfOpen: true }, (client) => {
    if (refusing) {
      client.resetAndDestroy();
      return;
    }
    const upstream = createConnection({ ...upstreamAddress, ...(localAddress && { localAddress }), allowHalfOpen: true });
    for (const one of [client, upstream]) {
      sockets.add(one);
      one.setNoDelay(true);
      one.on('close', () => sockets.delete(one));
    }
    pass(client, upstream, toServer);
    pass(upstream, client, toClient);
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port: ownPort } = server.address() as AddressInfo;

  const cut = (): void => {
    for (const socket of sockets) socket.resetAndDestroy();
  };
  return {
    address: `127.0.0.1:${ownPort}`,
    port: ownPort,
    connections: () => sockets.size / 2,
    cut,
    refuse: (on) => void (refusing = on),
    freeze: (on, direction = 'both') => {
      if (direction !== 'to client') toServer.silent = on;
      if (direction !== 'to server') toClient.silent = on;
    },
    delay: (delayMs) => void (toServer.delayMs = toClient.delayMs = delayMs),
    trickle: (bytesPerSecond, direction = 'both') => {
      if (direction !== 'to client') toServer.bytesPerSecond = bytesPerSecond;
      if (direction !== 'to server') toClient.bytesPerSecond = bytesPerSecond;
    },
    aim: (target) => void (upstreamAddress = addressOf(target)),
    close: async () => {
      server.close();
      cut();
      await once(server, 'close');
    },
  };
}

/** `host:port` */
function addressOf(target: string): { host: string; port: number } {
  const colon = target.lastIndexOf(':');
  return { host: target.slice(0, colon), port: Number(target.slice(colon + 1)) };
}

/** One direction of one connection: each piece waits for the one before it, so that order is kept. */
function pass(from: Socket, to: Socket, treatment: Treatment): void {
  let line = Promise.resolve();
  from.on('data', (bytes: Buffer) => {
    if (treatment.silent) return;
    const notBefore = performance.now() + treatment.delayMs;
    from.pause();
    line = line.then(async () => {
      await sleepUntil(notBefore);
      for (const piece of pieces(bytes, treatment)) {
        if (treatment.silent || !to.writable) break;
        if (!to.write(piece)) await Promise.race([once(to, 'drain'), once(to, 'close')]).catch(() => undefined);
        if (treatment.bytesPerSecond !== Infinity) await sleepUntil(performance.now() + STEP_MS);
      }
    });
    // Delay alone must not cost throughput: only a slow link or a slow reader holds the sender back.
    if (treatment.bytesPerSecond === Infinity && to.writableLength < to.writableHighWaterMark) from.resume();
    else void line.then(() => from.resume());
  });
  // A dead network does not tell of the other side's end either.
  from.on('end', () => void line.then(() => treatment.silent || to.end()));
  from.on('error', () => treatment.silent || to.resetAndDestroy());
}

function* pieces(bytes: Buffer, { bytesPerSecond }: Treatment): Generator<Buffer> {
  const step = bytesPerSecond === Infinity ? bytes.length : Math.max(1, Math.floor((bytesPerSecond * STEP_MS) / 1_000));
  for (let start = 0; start < bytes.length; start += step) yield bytes.subarray(start, start + step);
}

function sleepUntil(time: number): Promise<void> {
  const rest = time - performance.now();
  return rest <= 0 ? Promise.resolve() : new Promise((resolve) => setTimeout(resolve, rest));
}
