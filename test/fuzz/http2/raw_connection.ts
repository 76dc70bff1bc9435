import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { FLAG, frame, PREFACE, settings, TYPE } from './frames.ts';

const HEAD_BYTES = 9;
/** An address of this machine that is not the good client's, where the system has more than one on loopback. */
const ATTACKER = process.platform === 'linux' ? '127.0.0.2' : '127.0.0.1';

export interface RawOptions {
  /** What it says of itself at first; undefined: it says nothing at all. */
  greeting?: Buffer;
  /** False: it reads nothing, and answers nothing. Default true: it answers PING and SETTINGS as it must. */
  reads?: boolean;
}

/** A connection of somebody who writes frames by hand. Never rejects: how the other side takes it is to be seen by `closed`. */
export class RawConnection {
  /** By type, the frames that have come. */
  readonly frames = new Map<number, number>();
  /** Resolves when the connection has ended, whoever ended it. */
  readonly closed: Promise<void>;
  isClosed = false;
  readonly #socket: Socket;
  #rest: Buffer = Buffer.alloc(0);

  private constructor(socket: Socket, reads: boolean) {
    this.#socket = socket;
    socket.on('error', () => undefined);
    this.closed = new Promise((resolve) => {
      socket.once('close', () => {
        this.isClosed = true;
        resolve();
      });
    });
    if (reads) {
      socket.on('data', (bytes: Buffer) => this.#read(bytes));
    } else {
      socket.pause();
    }
  }

  /** Resolves when it is connected, or was refused. */
  static async to(address: string, { greeting = Buffer.concat([PREFACE, settings()]), reads = true }: RawOptions = {}): Promise<RawConnection> {
    const [host, port] = address.split(':');
    const socket = connect({ host: host!, port: Number(port), localAddress: ATTACKER });
    const connection = new RawConnection(socket, reads);
    await Promise.race([once(socket, 'connect').catch(() => undefined), connection.closed]);
    if (greeting.length > 0) {
      await connection.write(greeting);
    }
    return connection;
  }

  /** Resolves when there is room for more, or nobody is there any more. */
  async write(bytes: Uint8Array): Promise<void> {
    if (this.#socket.destroyed) {
      await this.closed;
    } else if (!this.#socket.write(bytes)) {
      await Promise.race([once(this.#socket, 'drain').catch(() => undefined), this.closed]);
    }
  }

  close(): void {
    this.#socket.destroy();
  }

  #read(bytes: Buffer): void {
    this.#rest = Buffer.concat([this.#rest, bytes]);
    while (this.#rest.length >= HEAD_BYTES) {
      const end = HEAD_BYTES + this.#rest.readUIntBE(0, 3);
      if (this.#rest.length < end) {
        return;
      }
      this.#took(this.#rest[3]!, this.#rest[4]!, this.#rest.subarray(HEAD_BYTES, end));
      this.#rest = this.#rest.subarray(end);
    }
  }

  #took(type: number, flags: number, payload: Buffer): void {
    this.frames.set(type, (this.frames.get(type) ?? 0) + 1);
    if ((type === TYPE.ping || type === TYPE.settings) && (flags & FLAG.ack) === 0 && !this.#socket.destroyed) {
      this.#socket.write(frame(type, FLAG.ack, 0, type === TYPE.ping ? payload : undefined));
    }
  }
}
