/** In front of each message of gRPC: whether it is compressed, and its length in four bytes. */
const HEAD_BYTES = 5;
/** What one arrived piece of a message takes beside its bytes, however few they are. */
const PIECE_BYTES = 512;

/** What the last message of a call takes, from its first byte on: grpc-js keeps the pieces until it is complete, then the whole. */
export class MessageUnderWay {
  /** Which message of the call it is. */
  number = 0;
  /** Held for it now, as long as nobody has taken it. */
  bytes = 0;
  #headBytes = 0;
  #missingBytes = 0;
  #length = 0;
  #memory: ArrayBufferLike | undefined;

  get complete(): boolean {
    return this.#headBytes === 0;
  }

  /** More of the call has arrived. */
  add(piece: Buffer): void {
    let at = 0;
    while (at < piece.length) {
      at = this.#headBytes < HEAD_BYTES ? this.#readHead(piece, at) : this.#readBody(piece, at);
    }
    if (!this.complete) {
      this.#hold(piece);
    }
  }

  #readHead(piece: Buffer, at: number): number {
    if (this.complete) {
      this.number += 1;
      this.bytes = 0;
      this.#memory = undefined;
      this.#length = 0;
    } else {
      this.#length = this.#length * 256 + piece[at]!;
    }
    this.#headBytes += 1;
    if (this.#headBytes === HEAD_BYTES) {
      this.#missingBytes = this.#length;
      this.#endIfComplete();
    }
    return at + 1;
  }

  #readBody(piece: Buffer, at: number): number {
    const taken = Math.min(this.#missingBytes, piece.length - at);
    this.#missingBytes -= taken;
    this.#endIfComplete();
    return at + taken;
  }

  #endIfComplete(): void {
    if (this.#missingBytes === 0) {
      this.#headBytes = 0;
      this.bytes = this.#length;
    }
  }

  /** A piece keeps alive all the memory that it is a part of, mostly shared with the piece before. */
  #hold({ buffer }: Buffer): void {
    this.bytes += PIECE_BYTES + (buffer === this.#memory ? 0 : buffer.byteLength);
    this.#memory = buffer;
  }
}
