import { once } from 'node:events';
import { createConnection, createServer, type AddressInfo, type Socket } from 'node:net';

/** What stands in for a statement where ids exist already. */
const VARIANTS: Readonly<Record<string, string>> = { submit: 'submit_repeated', settle: 'settle_ended' };

/** Between a client and PostgreSQL, on the level of its protocol: answers can be lost, held or rewritten. */
export interface PostgresWire {
  /** The database's URL by way of this. */
  url: string;
  /** The next run of this statement takes effect, but its answer never arrives: the connection breaks instead. Resolves when it did. */
  loseAnswer(statement: string): Promise<void>;
  /** The next run of this statement never reaches the server: the connection breaks instead. Resolves when it did. */
  loseQuestion(statement: string): Promise<void>;
  /** The answer to the next run of this statement waits for release(). */
  holdAnswer(statement: string): { held: Promise<void>; release(): void };
  close(): Promise<void>;
}

/** Changes one message of the server: `type` is its letter. */
export type Rewrite = (type: string, body: Buffer) => Buffer;

interface Rule {
  statement: string;
  kind: 'lose answer' | 'lose question' | 'hold answer';
  hit(): void;
  released: Promise<void>;
}

/** What is asked up to one ReadyForQuery: the names of prepared statements, or the text of a simple query. */
interface Unit {
  rule: Rule | undefined;
}

/** Starts it in front of the server of `databaseUrl`. Statements go by the name they were prepared under, others by their text. */
export async function startPostgresWire(databaseUrl: string, rewrite: Rewrite = (_type, body) => body): Promise<PostgresWire> {
  const target = new URL(databaseUrl);
  const rules: Rule[] = [];
  const sockets = new Set<Socket>();

  const take = (names: string[]): Rule | undefined => {
    const index = rules.findIndex(({ statement }) => names.some((name) => name === statement || name === VARIANTS[statement]));
    return index < 0 ? undefined : rules.splice(index, 1)[0];
  };

  const server = createServer((client) => {
    const upstream = createConnection({ host: target.hostname, port: Number(target.port || 5432) });
    const units: Unit[] = [];
    for (const socket of [client, upstream]) {
      sockets.add(socket);
      socket.setNoDelay(true);
      socket.on('error', () => {});
      socket.on('close', () => {
        sockets.delete(socket);
        (socket === client ? upstream : client).destroy();
      });
    }
    const cut = () => {
      client.resetAndDestroy();
      upstream.end();
    };

    let asked: Buffer[] = [];
    let names: string[] = [];
    readFrames(client, true, (type, frame) => {
      asked.push(frame);
      if (type === 'B') names.push(statementOfBind(frame));
      if (type === 'Q') names.push(frame.toString('utf8', 5, frame.length - 1).toLowerCase());
      if (type !== '' && 'PBDEC'.includes(type)) return;
      if (type === 'S' || type === 'Q') {
        const rule = take(names);
        if (rule?.kind === 'lose question') {
          rule.hit();
          client.resetAndDestroy();
          upstream.resetAndDestroy();
          return;
        }
        units.push({ rule });
        names = [];
      }
      upstream.write(Buffer.concat(asked));
      asked = [];
    });

    let line = Promise.resolve();
    let held: Buffer[] = [];
    readFrames(upstream, false, (type, frame) => {
      const rule = units[0]?.rule;
      const answer = Buffer.concat([frame.subarray(0, 5), rewrite(type, frame.subarray(5))]);
      answer.writeInt32BE(answer.length - 1, 1);
      held.push(answer);
      if (type === 'Z') units.shift();
      if (rule !== undefined && type !== 'Z') return;
      const bytes = Buffer.concat(held);
      held = [];
      if (rule?.kind === 'lose answer') {
        rule.hit();
        void line.then(cut);
        return;
      }
      if (rule !== undefined) {
        rule.hit();
        line = line.then(() => rule.released);
      }
      line = line.then(() => void client.write(bytes));
    });
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');

  const arm = (statement: string, kind: Rule['kind'], released = Promise.resolve()) =>
    new Promise<void>((hit) => rules.push({ statement, kind, hit, released }));
  const url = new URL(databaseUrl);
  url.hostname = '127.0.0.1';
  url.port = String((server.address() as AddressInfo).port);
  return {
    url: url.href,
    loseAnswer: (statement) => arm(statement, 'lose answer'),
    loseQuestion: (statement) => arm(statement, 'lose question'),
    holdAnswer: (statement) => {
      const { promise, resolve } = Promise.withResolvers<void>();
      return { held: arm(statement, 'hold answer', promise), release: resolve };
    },
    close: async () => {
      server.close();
      sockets.forEach((socket) => socket.destroy());
      await once(server, 'close');
    },
  };
}

/** Cuts a stream into messages. The client's first has no letter. */
function readFrames(socket: Socket, startup: boolean, each: (type: string, frame: Buffer) => void): void {
  let rest = Buffer.alloc(0);
  let first = startup;
  socket.on('data', (bytes: Buffer) => {
    rest = Buffer.concat([rest, bytes]);
    while (rest.length >= (first ? 4 : 5)) {
      const length = first ? rest.readInt32BE(0) : rest.readInt32BE(1) + 1;
      if (rest.length < length) return;
      each(first ? '' : String.fromCharCode(rest[0]!), rest.subarray(0, length));
      first = false;
      rest = rest.subarray(length);
    }
  });
}

/** Bind begins with the portal's name and the statement's, each ended by zero. */
function statementOfBind(frame: Buffer): string {
  const portalEnd = frame.indexOf(0, 5);
  return frame.toString('utf8', portalEnd + 1, frame.indexOf(0, portalEnd + 1));
}
