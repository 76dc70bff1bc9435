import { Metadata, status as code, type Client, type StatusObject } from '@grpc/grpc-js';

/** How a call went, whatever was sent. */
export interface Answer {
  /** The last word of the server, or of our own library. */
  status: StatusObject;
  messages: Buffer[];
  /** We broke it off: a watch that has said something, a stream that we had enough of. */
  brokenOff: boolean;
  tookMs: number;
}

export interface CallOptions {
  /** A server that has not ended the call by then is too slow. */
  deadlineMs: number;
  /** Breaks the call off after so many answers: watches do not end by themselves. */
  answersMax?: number;
}

const asIs = (bytes: Buffer): Buffer => bytes;

/** Any call of any kind, as bytes: to the wire they are all alike. */
export function callWith(client: Client, path: string, messages: readonly Uint8Array[], { deadlineMs, answersMax = Infinity }: CallOptions): Promise<Answer> {
  const startedMs = performance.now();
  const stream = client.makeBidiStreamRequest(path, asIs, asIs, new Metadata(), { deadline: Date.now() + deadlineMs });
  const received: Buffer[] = [];
  let brokenOff = false;
  return new Promise((resolve) => {
    stream.on('data', (message: Buffer) => {
      if (received.push(message) >= answersMax) {
        brokenOff = true;
        stream.cancel();
      }
    });
    stream.on('error', () => undefined);
    stream.on('status', (status: StatusObject) => {
      resolve({ status, messages: received, brokenOff: brokenOff && status.code === code.CANCELLED, tookMs: performance.now() - startedMs });
    });
    messages.forEach((message) => stream.write(Buffer.from(message)));
    stream.end();
  });
}
