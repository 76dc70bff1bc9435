import { BinaryReader } from '@bufbuild/protobuf/wire';

/** Texts up to this many bytes are looked for among those just read: names, not ids. */
const REPEATED_BYTES_MAX = 32;

/**
 * Reads a message that lies in a Buffer, as grpc-js hands it over: text straight from it, without a view and a pass
 * through TextDecoder for each id. Names are mostly those of the job before: one string serves them all.
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
    if (this.pos > this.len) {
      throw new RangeError('premature EOF');
    }
    if (length > REPEATED_BYTES_MAX) {
      return this.#bytes.toString('utf8', start, this.pos);
    }
    const before = this.#repeated[length];
    if (before !== undefined && this.#holds(before, start, length)) {
      return before;
    }
    const text = this.#bytes.toString('utf8', start, this.pos);
    this.#repeated[length] = text;
    return text;
  }

  /** Never true of a text beyond ASCII: it has fewer characters than bytes. */
  #holds(text: string, start: number, length: number): boolean {
    for (let index = 0; index < length; index += 1) {
      if (this.#bytes[start + index] !== text.charCodeAt(index)) {
        return false;
      }
    }
    return true;
  }
}
