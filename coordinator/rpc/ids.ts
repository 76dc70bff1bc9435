import { randomFillSync } from 'node:crypto';
import { v7 } from 'uuid';

/** Below and above every UUIDv7. */
export const UUID_MIN = '00000000-0000-0000-0000-000000000000';
export const UUID_MAX = 'ffffffff-ffff-ffff-ffff-ffffffffffff';

const FORM = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/;

/** Random bytes are drawn by the page: one call of the generator for 256 ids. */
const page = new Uint8Array(4_096);
let drawn = page.length;
let lastMs = 0;
let sequence = 0;

/** A new job id of this moment. Ids made here within a millisecond keep their order. */
export function newJobId(nowMs: number): string {
  if (drawn === page.length) {
    randomFillSync(page);
    drawn = 0;
  }
  const random = page.slice(drawn, drawn + 16);
  drawn += 16;
  const msecs = Math.max(Math.floor(nowMs), lastMs);
  // From a random start, so that two coordinators do not meet.
  sequence = msecs === lastMs ? sequence + 1 : ((random[0]! << 16) | (random[1]! << 8) | random[2]!);
  lastMs = msecs;
  return v7({ msecs, seq: sequence, random });
}

/** The canonical form, or undefined when it is no UUID at all. */
export function parseUuid(text: string): string | undefined {
  if (FORM.test(text)) {
    return text;
  }
  const lower = text.toLowerCase();
  return FORM.test(lower) ? lower : undefined;
}

/** When a UUIDv7 was made: milliseconds since 1970. */
export function uuidTimeMs(id: string): number {
  return Number.parseInt(id.slice(0, 8), 16) * 65_536 + Number.parseInt(id.slice(9, 13), 16);
}

/** The smallest UUIDv7 of a moment. Times that no UUIDv7 can have are moved to the nearest one. */
export function uuidFloor(ms: number): string {
  const hex = Math.min(Math.max(Math.ceil(ms), 0), 0xffff_ffff_ffff).toString(16).padStart(12, '0');
  return `${hex.slice(0, 8)}-${hex.slice(8)}-0000-0000-000000000000`;
}
