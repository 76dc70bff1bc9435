/** HTTP/2 frames by hand, right and wrong ones (RFC 9113). */

export const PREFACE = Buffer.from('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n');
export const TYPE = { data: 0, headers: 1, priority: 2, reset: 3, settings: 4, ping: 6, goaway: 7, windowUpdate: 8, continuation: 9 } as const;
export const FLAG = { ack: 1, endStream: 1, endHeaders: 4 } as const;
export const SETTING = { maxConcurrentStreams: 3, initialWindowSize: 4, maxFrameSize: 5 } as const;
const HEAD_BYTES = 9;
export const FRAME_BYTES_MAX = 16_384;

export function frame(type: number, flags: number, stream: number, payload: Uint8Array = new Uint8Array(0)): Buffer {
  const head = Buffer.alloc(HEAD_BYTES);
  head.writeUIntBE(payload.length, 0, 3);
  head[3] = type;
  head[4] = flags;
  head.writeUInt32BE(stream, 5);
  return Buffer.concat([head, payload]);
}

export function settings(values: Record<number, number> = {}): Buffer {
  const entries = Object.entries(values).map(([id, value]) => {
    const entry = Buffer.alloc(6);
    entry.writeUInt16BE(Number(id), 0);
    entry.writeUInt32BE(value, 2);
    return entry;
  });
  return frame(TYPE.settings, 0, 0, Buffer.concat(entries));
}

export function reset(stream: number): Buffer {
  return frame(TYPE.reset, 0, stream, Buffer.from([0, 0, 0, 8]));
}

/** HPACK at its plainest: literals without Huffman that enter no table. */
export function headerBlock(headers: readonly (readonly [name: string, value: string])[]): Buffer {
  return Buffer.concat(headers.flatMap(([name, value]) => [Buffer.from([0]), text(name), text(value)]));
}

function text(value: string): Buffer {
  const bytes = Buffer.from(value, 'latin1');
  const length: number[] = [];
  let rest = bytes.length - 127;
  if (rest < 0) {
    length.push(bytes.length);
  } else {
    length.push(127);
    for (; rest >= 128; rest >>= 7) {
      length.push((rest & 127) | 128);
    }
    length.push(rest);
  }
  return Buffer.concat([Buffer.from(length), bytes]);
}

export function grpcHeaders(path: string, more: readonly (readonly [string, string])[] = []): Buffer {
  return headerBlock([[':method', 'POST'], [':scheme', 'http'], [':path', path], [':authority', 'skiplease'], ['content-type', 'application/grpc'], ['te', 'trailers'], ...more]);
}

/** A call's HEADERS: with more to come, unless it is the `end`. */
export function open(stream: number, path: string, { more = [], end = false }: { more?: readonly (readonly [string, string])[]; end?: boolean } = {}): Buffer {
  return frame(TYPE.headers, FLAG.endHeaders | (end ? FLAG.endStream : 0), stream, grpcHeaders(path, more));
}

/** A message of gRPC with its head, which may lie about its length. */
export function grpcMessage(bytes: Uint8Array, { compressed = false, length = bytes.length } = {}): Buffer {
  const head = Buffer.alloc(5);
  head[0] = compressed ? 1 : 0;
  head.writeUInt32BE(length, 1);
  return Buffer.concat([head, bytes]);
}

/** In as many DATA frames as it takes. */
export function data(stream: number, bytes: Uint8Array, { end = false, frameBytes = FRAME_BYTES_MAX } = {}): Buffer {
  const frames: Buffer[] = [];
  for (let at = 0; at < bytes.length || frames.length === 0; at += frameBytes) {
    const last = at + frameBytes >= bytes.length;
    frames.push(frame(TYPE.data, end && last ? FLAG.endStream : 0, stream, bytes.subarray(at, at + frameBytes)));
  }
  return Buffer.concat(frames);
}
