/**
 * PostgreSQL's binary form of arrays, for the parameters of hot statements: one Buffer an array, no text in between.
 * (Sent as text, a bytea array alone doubles in size and is escaped twice.)
 */

const OID = { bytea: 17, int8: 20, int2: 21, int4: 23, text: 25, timestamptz: 1184, varbit: 1562, uuid: 2950 } as const;
const HEADER_BYTES = 20;
/** 2000-01-01, from where PostgreSQL counts. */
const POSTGRES_EPOCH_MS = 946_684_800_000;

function header(buffer: Buffer, oid: number, length: number): number {
  buffer.writeInt32BE(length === 0 ? 0 : 1, 0);
  buffer.writeInt32BE(1, 4);
  buffer.writeInt32BE(oid, 8);
  buffer.writeInt32BE(length, 12);
  buffer.writeInt32BE(1, 16);
  return HEADER_BYTES;
}

function allocate(oid: number, length: number, elementBytes: number): Buffer {
  if (length === 0) {
    const empty = Buffer.alloc(12);
    empty.writeInt32BE(oid, 8);
    return empty;
  }
  const buffer = Buffer.allocUnsafe(HEADER_BYTES + length * (4 + elementBytes));
  header(buffer, oid, length);
  return buffer;
}

/** Numbers of two bytes; null is NULL. */
export function int2Array(values: readonly (number | null)[]): Buffer {
  const buffer = allocate(OID.int2, values.length, 2);
  let offset = HEADER_BYTES;
  for (const value of values) {
    if (value === null) {
      offset = buffer.writeInt32BE(-1, offset);
    } else {
      offset = buffer.writeInt16BE(value, buffer.writeInt32BE(2, offset));
    }
  }
  return values.length === 0 ? buffer : buffer.subarray(0, offset);
}

export function int4Array(values: readonly number[]): Buffer {
  const buffer = allocate(OID.int4, values.length, 4);
  let offset = HEADER_BYTES;
  for (const value of values) {
    offset = buffer.writeInt32BE(value, buffer.writeInt32BE(4, offset));
  }
  return buffer;
}

export function int8Array(values: readonly (bigint | number | null)[]): Buffer {
  const buffer = allocate(OID.int8, values.length, 8);
  let offset = HEADER_BYTES;
  for (const value of values) {
    if (value === null) {
      offset = buffer.writeInt32BE(-1, offset);
    } else {
      offset = buffer.writeBigInt64BE(BigInt(value), buffer.writeInt32BE(8, offset));
    }
  }
  return values.length === 0 ? buffer : buffer.subarray(0, offset);
}

/** Moments in Unix milliseconds; null is NULL. */
export function timestampArray(values: readonly (number | null)[]): Buffer {
  const buffer = allocate(OID.timestamptz, values.length, 8);
  let offset = HEADER_BYTES;
  for (const value of values) {
    if (value === null) {
      offset = buffer.writeInt32BE(-1, offset);
    } else {
      const microseconds = BigInt(Math.round((value - POSTGRES_EPOCH_MS) * 1000));
      offset = buffer.writeBigInt64BE(microseconds, buffer.writeInt32BE(8, offset));
    }
  }
  return values.length === 0 ? buffer : buffer.subarray(0, offset);
}

/** Value of a hex digit by its character code. */
const HEX = new Uint8Array(128);
for (let digit = 0; digit < 16; digit += 1) {
  HEX[digit.toString(16).charCodeAt(0)] = digit;
  HEX[digit.toString(16).toUpperCase().charCodeAt(0)] = digit;
}

/** UUIDs in their text form of 36 characters. */
export function uuidArray(values: readonly string[]): Buffer {
  const buffer = allocate(OID.uuid, values.length, 16);
  let offset = HEADER_BYTES;
  for (const value of values) {
    offset = buffer.writeInt32BE(16, offset);
    for (let index = 0; index < 36; index += 2) {
      // Dashes stand at 8, 13, 18 and 23.
      if (index === 8 || index === 13 || index === 18 || index === 23) {
        index += 1;
      }
      buffer[offset] = (HEX[value.charCodeAt(index)]! << 4) | HEX[value.charCodeAt(index + 1)]!;
      offset += 1;
    }
  }
  return buffer;
}

export function byteaArray(values: readonly (Uint8Array | null)[]): Buffer {
  let total = 0;
  for (const value of values) {
    total += value === null ? 0 : value.length;
  }
  if (values.length === 0) {
    return allocate(OID.bytea, 0, 0);
  }
  const buffer = Buffer.allocUnsafe(HEADER_BYTES + 4 * values.length + total);
  let offset = header(buffer, OID.bytea, values.length);
  for (const value of values) {
    if (value === null) {
      offset = buffer.writeInt32BE(-1, offset);
    } else {
      offset = buffer.writeInt32BE(value.length, offset);
      buffer.set(value, offset);
      offset += value.length;
    }
  }
  return buffer;
}

export function textArray(values: readonly (string | null)[]): Buffer {
  let room = 0;
  for (const value of values) {
    // UTF-8 takes at most three bytes for a UTF-16 unit.
    room += value === null ? 0 : value.length * 3;
  }
  if (values.length === 0) {
    return allocate(OID.text, 0, 0);
  }
  const buffer = Buffer.allocUnsafe(HEADER_BYTES + 4 * values.length + room);
  let offset = header(buffer, OID.text, values.length);
  for (const value of values) {
    if (value === null) {
      offset = buffer.writeInt32BE(-1, offset);
    } else {
      const written = buffer.write(value, offset + 4);
      offset = buffer.writeInt32BE(written, offset) + written;
    }
  }
  return buffer.subarray(0, offset);
}

/** Bit strings: `bits` holds the first in the highest bit of its first byte. */
export function varbitArray(values: readonly { bits: Uint8Array; length: number }[]): Buffer {
  let total = 0;
  for (const value of values) {
    total += value.bits.length;
  }
  if (values.length === 0) {
    return allocate(OID.varbit, 0, 0);
  }
  const buffer = Buffer.allocUnsafe(HEADER_BYTES + 8 * values.length + total);
  let offset = header(buffer, OID.varbit, values.length);
  for (const value of values) {
    offset = buffer.writeInt32BE(4 + value.bits.length, offset);
    offset = buffer.writeInt32BE(value.length, offset);
    buffer.set(value.bits, offset);
    offset += value.bits.length;
  }
  return buffer;
}
