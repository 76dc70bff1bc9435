import type { DescMessage } from '@bufbuild/protobuf';
import type { Random } from '../../worker/payments/random.ts';
import type { Known } from './known.ts';
import { MessageWriter, nested, padded, type Mood } from './messages.ts';
import { mutate } from './mutate.ts';

const PLAUSIBLE: Mood = { extreme: 0, wild: false };
const SPICED: Mood = { extreme: 0.08, wild: false };
const WILD: Mood = { extreme: 0.5, wild: true };
/** Levels of messages within messages: around what JSON may have, what decoders often take, and what a stack takes. */
const DEPTHS = [29, 30, 31, 99, 100, 101, 1_000, 20_000, 100_000];
/** Field numbers to nest by: google.protobuf.Struct within Value within Struct …, lists of lists, and one that is skipped. */
const NESTINGS = [[1, 2, 5], [6, 1], [1], [2], [3], [4]];

/** A message for a method: mostly nearly right, sometimes not a message at all. `chosen`: which member of its oneof. */
export function makeMessage(type: DescMessage, random: Random, known: Known, receiveBytesMax: number, chosen?: string): Uint8Array {
  const written = (mood: Mood) => new MessageWriter(random, known, mood).write(type, chosen);
  return random.weighted([
    [() => written(PLAUSIBLE), 8],
    [() => written(SPICED), 8],
    [() => written(WILD), 4],
    [() => mutate(written(PLAUSIBLE), written(SPICED), random), 5],
    [() => mutate(written(WILD), written(PLAUSIBLE), random), 2],
    [() => noise(random), 1],
    [() => Buffer.concat([written(PLAUSIBLE), nested(random.pick(NESTINGS), random.pick(DEPTHS))]), 1],
    [() => padded(written(PLAUSIBLE), random.pick([1, 2]) * receiveBytesMax + random.pick([-1, 0, 1])), 0.3],
  ] as const)();
}

function noise(random: Random): Uint8Array {
  return Buffer.from(Array.from({ length: random.pick([0, 1, 2, 5, 50, 2_000]) }, () => random.between(0, 255)));
}
