import { BinaryReader } from '@bufbuild/protobuf/wire';

/** The longest text, in bytes, that is looked for among those just read. */
const repeatedBytesMax = 32;

/**
 * Reads a message that lies in a Buffer, as grpc-js hands it over: text straight from the Buffer, without a view and a
 * pass through TextDecoder for each id. Short texts (queues, types, content types) are mostly those of the job before: one
 * string serves them all.
 */
export class BufferReader extends BinaryReader {
  readonly #bytes: Buffer;
  /** The last text of each length. */
  readonly #repeated: (string | undefined)[] = [];

  constructor(bytes: Buffer) {
    super(bytes);
    this.#bytes = bytes;
  }

  override string(): string {
    const length = this.uint32();
    const start = this.pos;
    this.pos += length;
    if (this.pos > this.len) throw new RangeError('the message ends within a text');
    if (length > repeatedBytesMax) return this.#bytes.toString('utf8', start, this.pos);
    const before = this.#repeated[length];
    if (before !== undefined && this.#holds(before, start)) return before;
    return (this.#repeated[length] = this.#bytes.toString('utf8', start, this.pos));
  }

  /** Never of a text beyond ASCII, which has fewer characters than bytes. */
  #holds(text: string, start: number): boolean {
    for (let index = 0; index < this.pos - start; index += 1) {
      if (this.#bytes[start + index] !== text.charCodeAt(index)) return false;
    }
    return true;
  }
}
