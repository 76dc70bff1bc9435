import { z } from 'zod';

/** NOTIFY takes 8,000 bytes. */
const PAYLOAD_BYTES_MAX = 7_500;

/** Of an int8, in as many digits as are always one. */
const bigintText = z.string().regex(/^\d{1,18}$/);

/** What the line brings is anybody's who can write to it. */
const hintSchema = z.object({
  /** Who says so. */
  from: z.string(),
  /** Levels in which jobs became ready: queue, priority, lowest position. */
  ready: z.array(z.tuple([z.int32(), z.int().min(0).max(9), bigintText])).optional(),
  /** A job was scheduled for this moment: milliseconds of the database's clock. */
  runAtMs: z.number().optional(),
  /** Queues whose settings changed. */
  queues: z.array(z.int32()).optional(),
  /** Queues with limits, of which something has ended. */
  room: z.array(z.int32()).optional(),
  /** Running jobs that were cancelled: session, lease, job, reason. */
  cancelled: z.array(z.tuple([z.string(), bigintText, z.string(), z.string()])).optional(),
  /** Jobs wait for others with ids between these. */
  awaited: z.tuple([z.string(), z.string()]).optional(),
  /** More became ready than fits into a hint, some could not be said, or somebody is new: look everywhere. */
  all: z.literal(true).optional(),
});

/** A hint to the other coordinators. Lost ones are made up for by scans. */
export type Hint = z.infer<typeof hintSchema>;

/** undefined: not one of ours. */
export function readHint(payload: string): Hint | undefined {
  try {
    return hintSchema.safeParse(JSON.parse(payload)).data;
  } catch {
    return undefined;
  }
}

/** One payload, or as many as it takes: where levels do not fit, a look everywhere finds them; cancels and settings are in more of a hurry. */
export function writeHint(hint: Hint): string[] {
  const whole = JSON.stringify(hint);
  if (fits(whole)) {
    return [whole];
  }
  const { from, queues = [], cancelled = [] } = hint;
  const rest: Hint = { from, all: true };
  if (hint.runAtMs !== undefined) {
    rest.runAtMs = hint.runAtMs;
  }
  if (hint.awaited !== undefined) {
    rest.awaited = hint.awaited;
  }
  return [
    JSON.stringify(rest),
    ...inHalves(queues, (part) => JSON.stringify({ from, queues: part } satisfies Hint)),
    ...inHalves(cancelled, (part) => JSON.stringify({ from, cancelled: part } satisfies Hint)),
  ];
}

function inHalves<Item>(items: Item[], write: (part: Item[]) => string): string[] {
  if (items.length === 0) {
    return [];
  }
  const text = write(items);
  const half = items.length >> 1;
  return items.length === 1 || fits(text) ? [text] : [...inHalves(items.slice(0, half), write), ...inHalves(items.slice(half), write)];
}

function fits(payload: string): boolean {
  return Buffer.byteLength(payload) <= PAYLOAD_BYTES_MAX;
}
