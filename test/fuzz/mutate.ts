import type { Random } from '../../worker/payments/random.ts';

const BYTES = [0x00, 0x01, 0x07, 0x08, 0x0a, 0x0b, 0x0c, 0x0f, 0x7f, 0x80, 0xff];
/** A varint of ten bytes, one of eleven, and lengths of 2 GiB and 4 GiB. */
const VARINTS = ['ffffffffffffffffff01', 'ffffffffffffffffffff01', 'ffffffff07', 'ffffffff0f'].map((hex) => Buffer.from(hex, 'hex'));

/** One to a few changes to the bytes of a message. */
export function mutate(message: Uint8Array, other: Uint8Array, random: Random): Uint8Array {
  let bytes: Buffer = Buffer.from(message);
  for (let left = random.between(1, 4); left > 0; left -= 1) {
    bytes = random.pick(CHANGES)(bytes, Buffer.from(other), random);
  }
  return bytes;
}

type Change = (bytes: Buffer, other: Buffer, random: Random) => Buffer;

const CHANGES: Change[] = [
  function flip(bytes, _other, random) {
    const changed = Buffer.from(bytes);
    if (changed.length > 0) {
      changed[random.between(0, changed.length - 1)]! ^= 1 << random.between(0, 7);
    }
    return changed;
  },
  function replace(bytes, _other, random) {
    const changed = Buffer.from(bytes);
    if (changed.length > 0) {
      changed[random.between(0, changed.length - 1)] = random.pick(BYTES);
    }
    return changed;
  },
  (bytes, _other, random) => bytes.subarray(0, random.between(0, bytes.length)),
  (bytes, _other, random) => bytes.subarray(random.between(0, bytes.length)),
  (bytes, _other, random) => insert(bytes, Buffer.from([random.pick(BYTES)]), random),
  (bytes, _other, random) => insert(bytes, random.pick(VARINTS), random),
  (bytes, other, random) => insert(bytes, part(other, random), random),
  (bytes, _other, random) => insert(bytes, part(bytes, random), random),
  (bytes) => Buffer.concat([bytes, bytes]),
  (bytes, other) => Buffer.concat([bytes, other]),
];

function insert(bytes: Buffer, what: Buffer, random: Random): Buffer {
  const at = random.between(0, bytes.length);
  return Buffer.concat([bytes.subarray(0, at), what, bytes.subarray(at)]);
}

function part(bytes: Buffer, random: Random): Buffer {
  const start = random.between(0, bytes.length);
  return bytes.subarray(start, Math.min(bytes.length, start + random.between(0, 64)));
}
