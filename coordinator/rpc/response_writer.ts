import { BinaryWriter } from '@bufbuild/protobuf/wire';

/** What generated code of a message can do. */
export interface Encodes<Message> {
  encode(message: Message, writer: BinaryWriter): BinaryWriter;
}

/** Characters of an id, all of them ASCII. */
const ID_CHARACTERS = 36;
/** With room for more bytes than that: a text of so many characters that takes no more bytes is ASCII. */
const ID_ROOM = Buffer.alloc(ID_CHARACTERS + 4);
const ID = ID_ROOM.subarray(0, ID_CHARACTERS);
/** A message up to this size leaves its room to the next one: growing from nothing took a fifth of the writing. */
const KEPT_BYTES_MAX = 1_048_576;

/** Writes ids without making a view for each, as the library does for texts of more than 32 characters. */
class ResponseWriter extends BinaryWriter {
  override string(value: string): this {
    return value.length === ID_CHARACTERS && ID_ROOM.write(value) === ID_CHARACTERS ? this.bytes(ID) : super.string(value);
  }
}

let writer = new ResponseWriter();

/** The bytes of a message, its own to keep. */
export function writeResponse<Message>(message: Message, type: Encodes<Message>): Uint8Array {
  try {
    const bytes = type.encode(message, writer).finish();
    if (bytes.byteLength > KEPT_BYTES_MAX) {
      writer = new ResponseWriter();
    }
    return bytes;
  } catch (error) {
    // Half a message would stand before the next one.
    writer = new ResponseWriter();
    throw error;
  }
}
