/** Random messages, written straight to the wire from their descriptors: also such as no encoder would write. */
import { ScalarType, type DescField, type DescMessage } from '@bufbuild/protobuf';
import { BinaryWriter, WireType } from '@bufbuild/protobuf/wire';
import type { Random } from '../../worker/payments/random.ts';
import { COUNTS, ENUM_NUMBERS, writeExtreme } from './extremes.ts';
import type { Known } from './known.ts';
import { likelihood, writePlausible } from './plausible.ts';

/** Messages within messages, beyond which only those without any are written. */
const DEPTH_MAX = 12;
/** Of one repeated field. */
const REPEATED_BYTES_MAX = 900_000;
/** A number that no message of the contract uses. */
const UNKNOWN_FIELD = 4_711;

/** How far from what is right. */
export interface Mood {
  /** The share of values that are extreme. */
  extreme: number;
  /** Fields are there by chance alone, and more than one of a oneof. */
  wild: boolean;
}

export class MessageWriter {
  readonly #random: Random;
  readonly #known: Known;
  readonly #mood: Mood;

  constructor(random: Random, known: Known, mood: Mood) {
    this.#random = random;
    this.#known = known;
    this.#mood = mood;
  }

  /** `chosen`: which member of the message's only oneof it shall have. */
  write(type: DescMessage, chosen?: string): Uint8Array {
    return this.#message(type, 0, chosen);
  }

  #message(type: DescMessage, depth: number, chosen?: string): Uint8Array {
    const writer = new BinaryWriter();
    if (this.#mood.extreme === 0 && this.#wellKnown(writer, type)) {
      return writer.finish();
    }
    for (const member of type.members) {
      if (member.kind === 'field') {
        if (this.#isThere(member.name, type)) {
          this.#field(writer, member, depth);
        }
      } else if (this.#mood.wild && chosen === undefined) {
        member.fields.filter(() => this.#random.next() < 0.3).forEach((field) => this.#field(writer, field, depth));
      } else if (chosen !== undefined || type.members.length === 1 || this.#isThere(member.name, type)) {
        this.#field(writer, member.fields.find(({ name }) => name === chosen) ?? this.#random.pick(member.fields), depth);
      }
    }
    return writer.finish();
  }

  #isThere(name: string, within: DescMessage): boolean {
    return this.#random.next() < (this.#mood.wild ? 0.5 : likelihood(name, within.name));
  }

  #isExtreme(): boolean {
    return this.#random.next() < this.#mood.extreme;
  }

  /** Times that mean something; a Duration's parts by chance would mostly be refused. */
  #wellKnown(writer: BinaryWriter, { typeName }: DescMessage): boolean {
    if (typeName === 'google.protobuf.Timestamp') {
      writer.tag(1, WireType.Varint).int64(Math.floor(Date.now() / 1_000) + this.#random.between(-3_600, 3_600));
    } else if (typeName === 'google.protobuf.Duration') {
      writer.tag(1, WireType.Varint).int64(this.#random.between(1, 20));
    } else {
      return false;
    }
    return true;
  }

  #field(writer: BinaryWriter, field: DescField, depth: number): void {
    if (field.fieldKind === 'list' || field.fieldKind === 'map') {
      this.#repeated(writer, field, depth);
    } else {
      this.#value(writer, field, depth);
    }
  }

  /** Extreme: very many of them, one like the other, so that their ids and names are the same too. */
  #repeated(writer: BinaryWriter, field: DescField, depth: number): void {
    const one = () => {
      const own = new BinaryWriter();
      if (field.fieldKind === 'map') {
        own.tag(field.number, WireType.LengthDelimited).bytes(this.#entry(field, depth));
      } else {
        this.#value(own, field, depth);
      }
      return own.finish();
    };
    if (this.#isExtreme()) {
      const bytes = one();
      const count = Math.min(this.#random.pick(COUNTS), Math.floor(REPEATED_BYTES_MAX / Math.max(bytes.length, 1)));
      const all = Buffer.alloc(bytes.length * count);
      all.fill(bytes);
      writer.raw(all);
      return;
    }
    for (let count = this.#random.between(1, 3); count > 0; count -= 1) {
      writer.raw(one());
    }
  }

  #entry(field: DescField & { fieldKind: 'map' }, depth: number): Uint8Array {
    const entry = new BinaryWriter();
    entry.tag(1, wireType(field.mapKey));
    this.#scalar(entry, field, field.mapKey);
    if (field.mapKind === 'message') {
      entry.tag(2, WireType.LengthDelimited).bytes(this.#nested(field.message, depth));
    } else {
      const type = field.mapKind === 'enum' ? ScalarType.INT32 : field.scalar;
      entry.tag(2, wireType(type));
      this.#scalar(entry, field, type);
    }
    return entry.finish();
  }

  #value(writer: BinaryWriter, field: DescField, depth: number): void {
    if (field.message !== undefined) {
      writer.tag(field.number, WireType.LengthDelimited).bytes(this.#nested(field.message, depth));
    } else if (field.enum !== undefined) {
      const number = this.#isExtreme() ? this.#random.pick(ENUM_NUMBERS) : this.#random.pick(field.enum.values).number;
      writer.tag(field.number, WireType.Varint).int32(number);
    } else {
      writer.tag(field.number, wireType(field.scalar));
      this.#scalar(writer, field, field.scalar);
    }
  }

  #nested(type: DescMessage, depth: number): Uint8Array {
    return depth >= DEPTH_MAX ? new Uint8Array(0) : this.#message(type, depth + 1);
  }

  #scalar(writer: BinaryWriter, field: DescField, type: ScalarType): void {
    if (this.#isExtreme()) {
      writeExtreme(writer, type, this.#random);
    } else {
      writePlausible(writer, field, type, this.#random, this.#known);
    }
  }
}

function wireType(type: ScalarType): WireType {
  switch (type) {
    case ScalarType.STRING:
    case ScalarType.BYTES:
      return WireType.LengthDelimited;
    case ScalarType.DOUBLE:
      return WireType.Bit64;
    default:
      return WireType.Varint;
  }
}

/** The message with an unknown field that makes it exactly so long, if it is not longer already. */
export function padded(message: Uint8Array, bytes: number): Uint8Array {
  const HEAD_BYTES_MAX = 8;
  if (message.length + HEAD_BYTES_MAX > bytes) {
    return message;
  }
  const head = new BinaryWriter().tag(UNKNOWN_FIELD, WireType.LengthDelimited).finish();
  let left = bytes - message.length - head.length;
  left -= new BinaryWriter().uint32(left).finish().length;
  return Buffer.concat([message, new BinaryWriter().raw(head).bytes(new Uint8Array(left)).finish()]);
}

/** field { field { field { … } } } of one number, so many levels deep. */
export function nested(numbers: readonly number[], depth: number): Uint8Array {
  // From the inside out, into the end of one buffer: each level is the one before with a tag and a length in front.
  const HEAD_BYTES_MAX = 6;
  const bytes = Buffer.alloc(depth * HEAD_BYTES_MAX);
  let start = bytes.length;
  for (let level = depth - 1; level >= 0; level -= 1) {
    const head = new BinaryWriter().tag(numbers[level % numbers.length]!, WireType.LengthDelimited).uint32(bytes.length - start).finish();
    start -= head.length;
    bytes.set(head, start);
  }
  return bytes.subarray(start);
}
