/** The next tick, against a walk over every minute of local time around changes of the clocks, by Vixie cron's rules. */
import test from 'ava';
import fc from 'fast-check';
import { nextTickMs, ticksBetween } from '../../coordinator/engine/cron_line.ts';

const MINUTE_MS = 60_000;
/** Before and after midnight UTC of the day, by which the change is within it. */
const WINDOW_MINUTES = 36 * 60;
const PROPERTY = { includeErrorInReport: true, interruptAfterTimeLimit: 4_000, numRuns: 2_000 };

/** Each zone with days on which its clocks change: an hour, half an hour, at midnight; and one that never does. */
const CHANGES: [timeZone: string, days: string[]][] = [
  ['Europe/Berlin', ['2026-03-29', '2026-10-25']],
  ['America/New_York', ['2026-03-08', '2026-11-01']],
  ['Australia/Lord_Howe', ['2026-04-05', '2026-10-04']],
  ['America/Havana', ['2026-03-08', '2026-11-01']],
  ['Asia/Kolkata', ['2026-06-15']],
];

/** A minute on the wall. */
interface Wall {
  atMs: number;
  /** Minutes since 1970, as if the wall showed UTC. */
  minute: number;
}

interface Window {
  timeZone: string;
  walls: Wall[];
}

const windows: Window[] = CHANGES.flatMap(([timeZone, days]) => days.map((day) => ({ timeZone, walls: wallsOf(timeZone, day) })));

function wallsOf(timeZone: string, day: string): Wall[] {
  const format = new Intl.DateTimeFormat('en-CA', { timeZone, dateStyle: 'short', timeStyle: 'short', hourCycle: 'h23' });
  const startMs = Date.parse(`${day}T00:00:00Z`) - (WINDOW_MINUTES / 2) * MINUTE_MS;
  return Array.from({ length: WINDOW_MINUTES }, (_, index) => {
    const atMs = startMs + index * MINUTE_MS;
    return { atMs, minute: Date.parse(`${format.format(atMs).replace(', ', 'T')}Z`) / MINUTE_MS };
  });
}

interface Field {
  text: string;
  values: Set<number>;
}

const every = (first: number, last: number, step = 1) => Array.from({ length: Math.floor((last - first) / step) + 1 }, (_, index) => first + index * step);

/** Forms of one field, with numbers up to `numberMax`; `stars` of ten are a star. */
function fields(stars: number, first: number, last: number, numberMax = last): fc.Arbitrary<Field> {
  const value = fc.integer({ min: first, max: numberMax });
  const field = (text: string, values: number[]): Field => ({ text, values: new Set(values) });
  const form = fc.oneof(
    value.map((one) => field(`${one}`, [one])),
    fc.uniqueArray(value, { minLength: 2, maxLength: 4 }).map((list) => field(list.join(','), list)),
    fc.tuple(value, value).map(([a, b]) => field(`${Math.min(a, b)}-${Math.max(a, b)}`, every(Math.min(a, b), Math.max(a, b)))),
    fc.integer({ min: 2, max: last - first }).map((step) => field(`*/${step}`, every(first, last, step))),
  );
  return fc.oneof({ weight: 10 - stars, arbitrary: form }, { weight: stars, arbitrary: fc.constant(field('*', every(first, last))) });
}

const lines = fc.record({
  minute: fields(1, 0, 59), hour: fields(2, 0, 23, 4), day: fields(8, 1, 31), weekday: fields(8, 0, 6), place: fc.nat(windows.length - 1),
});
type Line = typeof lines extends fc.Arbitrary<infer Value> ? Value : never;

/** The ticks of a window, minute by minute. */
function walk({ minute, hour, day, weekday }: Line, walls: Wall[]): number[] {
  const matches = (wall: number) => {
    const date = new Date(wall * MINUTE_MS);
    const onDay = day.values.has(date.getUTCDate());
    const onWeekday = weekday.values.has(date.getUTCDay());
    const either = day.text === '*' || weekday.text === '*' ? onDay && onWeekday : onDay || onWeekday;
    return either && minute.values.has(date.getUTCMinutes()) && hour.values.has(date.getUTCHours());
  };
  const keepsToTheClock = !/[*/]/.test(minute.text + hour.text);
  const ticks: number[] = [];
  let latest = walls[0]!.minute - 1;
  for (const wall of walls) {
    const skipped = keepsToTheClock ? every(latest + 1, wall.minute - 1) : [];
    const repeated = keepsToTheClock && wall.minute <= latest;
    if (skipped.some(matches) || (!repeated && matches(wall.minute))) {
      ticks.push(wall.atMs);
    }
    latest = Math.max(latest, wall.minute);
  }
  return ticks;
}

test('ticks forwards, one by one, and backwards are those of the walk', (t) => {
  t.notThrows(() => fc.assert(fc.property(lines, (line) => {
    const { minute, hour, day, weekday, place } = line;
    const { timeZone, walls } = windows[place]!;
    const cron = { cron: `${minute.text} ${hour.text} ${day.text} * ${weekday.text}`, timeZone };
    const [firstMs, lastMs] = [walls[0]!.atMs, walls.at(-1)!.atMs];
    const expected = walk(line, walls);
    const forwards: number[] = [];
    for (let next = nextTickMs(cron, firstMs - 1); next !== null && next <= lastMs; next = nextTickMs(cron, next)) {
      forwards.push(next);
    }
    const backwards = ticksBetween(cron, firstMs, lastMs, WINDOW_MINUTES);
    for (const [how, ticks] of [['forwards', forwards], ['backwards', backwards]] as const) {
      const differs = expected.findIndex((ms, index) => ticks[index] !== ms);
      const at = differs === -1 && ticks.length > expected.length ? expected.length : differs;
      const shown = (ms: number | undefined) => (ms === undefined ? 'none' : new Date(ms).toISOString());
      if (at !== -1) {
        throw new Error(`${how}, ${cron.cron} in ${timeZone}: ${shown(ticks[at])} instead of ${shown(expected[at])}`);
      }
    }
  }), PROPERTY));
});
