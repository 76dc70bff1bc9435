/** Values at and beyond the edges, for each kind of scalar. */
import { ScalarType } from '@bufbuild/protobuf';
import type { BinaryWriter } from '@bufbuild/protobuf/wire';
import type { Random } from '../../worker/payments/random.ts';

const INTS = [0, 1, -1, 2, 9, 10, 100, 101, 1_000, 1_001, 10_000, 100_001, 999_999_999, 1_000_000_000, 2_147_483_647, -2_147_483_648];
const UINTS = [0, 1, 2, 1_000, 10_001, 100_000, 100_001, 1_073_741_825, 2_147_483_648, 4_294_967_295];
/** Among them the seconds of the years 0, 1, 9999 and 10000, of a UUIDv7's last moment, and what a double holds no more. */
const LONGS = [0n, 1n, -1n, 315_576_000_000n, 315_576_000_001n, -315_576_000_000n, -62_167_219_200n, -62_135_596_801n, -62_135_596_800n, 253_402_300_799n,
  253_402_300_800n, 281_474_976_711n, 8_640_000_000_001n, 2n ** 53n - 1n, 2n ** 53n, 2n ** 62n, 2n ** 63n - 1n, -(2n ** 63n)];
const DOUBLES = [0, -0, 0.5, 1, -1, 1.000001, 99.999, 100.001, 1e6, 1e-7, 2 ** 53, 1e308, -1e308, 5e-324, Number.NaN, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY];
const TEXTS = ['', ' ', '\0', 'a\0b', '\n', '\u007f', '\u0085', '\u2028', '\u202e', '\uffff', '\u{1f600}', 'é', 'e\u0301', '__proto__', 'constructor', 'toString',
  '-1', 'NaN', 'null', 'true', '1e400', '{', '{"a":1,"a":2}', '[[[[', '{"__proto__":{"x":1}}', '"\\ud800"', "'; drop table skiplease.job; --", '$1', '%n%s', '\\', '../../etc/passwd',
  '00000000-0000-0000-0000-000000000000', 'ffffffff-ffff-7fff-bfff-ffffffffffff', '0190DAB5-9E4B-7C1A-8F00-000000000000', '1.0123456789abcdef', '9223372036854775807.ffffffffffffffff',
  '99999999999999999999.0', '-5.0', 'W10', 'WyIiLCIiXQ', '* * * * *', '* * * * * *', '0 0 30 2 *', '@reboot', '*/0 * * * *', '99 99 99 99 99', 'Europe/Berlin', 'Mars/Base', 'text/plain', 'application/json'];
/** What is no UTF-8: a lone byte, an overlong null, half a surrogate pair, beyond the last character, cut short. */
const BROKEN_UTF8 = ['ff', 'c080', 'eda080', 'f4908080', 'e282', '80'].map((hex) => Buffer.from(hex, 'hex'));
/** Lengths around the limits of names, keys, labels, notes, messages and contents. */
const LENGTHS = [36, 63, 64, 65, 100, 101, 127, 128, 129, 200, 201, 256, 257, 2_000, 2_001, 8_001, 16_384, 16_385, 65_536, 65_537, 300_000];

/** Writes a value without its tag. */
export function writeExtreme(writer: BinaryWriter, type: ScalarType, random: Random): void {
  switch (type) {
    case ScalarType.STRING:
      writer.bytes(extremeText(random));
      return;
    case ScalarType.BYTES:
      writer.bytes(Buffer.alloc(random.pick(LENGTHS), random.between(0, 255)));
      return;
    case ScalarType.INT32:
      writer.int32(random.pick(INTS));
      return;
    case ScalarType.UINT32:
      writer.uint32(random.pick(UINTS));
      return;
    case ScalarType.INT64:
      writer.int64(random.pick(LONGS));
      return;
    case ScalarType.DOUBLE:
      writer.double(random.pick(DOUBLES));
      return;
    case ScalarType.BOOL:
      // A bool is a number on the wire.
      writer.uint32(random.pick(UINTS));
      return;
    default:
      throw new Error(`The contract has a scalar of a type that the fuzzer does not know: ${ScalarType[type]}.`);
  }
}

function extremeText(random: Random): Uint8Array {
  return random.weighted([
    [() => Buffer.from(random.pick(TEXTS)), 6],
    [() => Buffer.alloc(random.pick(LENGTHS), random.pick(['a', 'é', '\0', '0'])), 3],
    [() => Buffer.concat([Buffer.from('a'), random.pick(BROKEN_UTF8), Buffer.from('b')]), 2],
  ] as const)();
}

/** A number that the enum does not have, or may not have. */
export const ENUM_NUMBERS = [0, 1, 2, 3, 7, 8, 99, -1, 2_147_483_647, -2_147_483_648];
/** How often a repeated field is there: around the limits of requests. */
export const COUNTS = [0, 2, 63, 64, 65, 100, 101, 1_000, 1_001, 10_000, 10_001, 100_000];
