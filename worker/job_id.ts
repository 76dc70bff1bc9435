import { randomFillSync } from 'node:crypto';
import { v7 } from 'uuid';

/** Random bytes are drawn for many ids at once: a draw for each few of them was a quarter of a flooding submitter's time. */
const random = new Uint8Array(256 * 16);
const draws = Array.from({ length: random.length / 16 }, (_, index) => random.subarray(index * 16, index * 16 + 16));
let drawn = draws.length;

/**
 * So far back the clock may go without ids going back. Corrected by more (it had been set wrong), ids follow it: stuck in a
 * future that is over, they would be refused by every coordinator until it comes.
 */
const backwardsMsMax = 1_000;

/** The millisecond of the last id, and its number in it, which begins anywhere in 30 bits and counts on. */
let lastMs = 0;
let sequence = 0;

/** The id that is being made, as bytes and as text: one for all, so that only its string is new. */
const bytes = new Uint8Array(16);
const text = Buffer.from('00000000-0000-0000-0000-000000000000');
const dash = 0x2d;
const digits = Buffer.from('0123456789abcdef');

/**
 * A fresh job id (UUIDv7), for those who keep it before they submit. Ids of one process are in the order in which they
 * were made, within a millisecond too: jobs are listed by it, and a chunk of them lies together in the database. (Not over
 * a correction of the clock by more than a second.)
 */
export function newJobId(): string {
  if (drawn === draws.length) {
    randomFillSync(random);
    drawn = 0;
  }
  const draw = draws[drawn++]!;
  const nowMs = Date.now();
  if (nowMs > lastMs || nowMs < lastMs - backwardsMsMax) {
    lastMs = nowMs;
    sequence = ((draw[0]! & 0x3f) << 24) | (draw[1]! << 16) | (draw[2]! << 8) | draw[3]!;
  } else {
    sequence += 1;
  }
  v7({ random: draw, msecs: lastMs, seq: sequence }, bytes);
  return textOfBytes();
}

/** One flat string; the package's own joins twenty, which costs once more when the id is written to the wire. */
function textOfBytes(): string {
  let at = 0;
  for (let index = 0; index < 16; index += 1) {
    if (text[at] === dash) at += 1;
    const byte = bytes[index]!;
    text[at] = digits[byte >> 4]!;
    text[at + 1] = digits[byte & 15]!;
    at += 2;
  }
  return text.toString('latin1');
}
