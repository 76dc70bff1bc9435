import { Cron } from 'croner';

/** A cron line, and where its clock hangs. */
export interface CronLine {
  cron: string;
  /** IANA name; '': UTC. */
  timeZone: string;
}

const CRON_CHARACTERS_MAX = 256;

/** The library's own words, without its name. */
const PREFIX = /^Cron\w+: /;

/** What is wrong with a line; undefined: nothing. */
export function cronProblem(cron: string): string | undefined {
  // The library would take a date for a line that ticks once.
  if (cron.length > CRON_CHARACTERS_MAX || cron.includes(':')) {
    return `at most ${CRON_CHARACTERS_MAX} characters, and no colon`;
  }
  return problem(() => ticks({ cron, timeZone: '' }));
}

/** What is wrong with a time zone; undefined: nothing. */
export function timeZoneProblem(timeZone: string): string | undefined {
  return timeZone === '' || /^[A-Za-z]/.test(timeZone)
    ? problem(() => timeZone !== '' && new Intl.DateTimeFormat('en', { timeZone }))
    : 'the name of a zone begins with a letter';
}

/** The first tick after this moment (milliseconds since 1970); null: there is none. */
export function nextTickMs(line: CronLine, afterMs: number): number | null {
  return ticks(line).nextRun(new Date(afterMs))?.getTime() ?? null;
}

/** Ticks from `firstMs` to `nowMs`, both included, oldest first: the latest `max` of them. */
export function ticksBetween(line: CronLine, firstMs: number, nowMs: number, max: number): number[] {
  const cron = ticks(line);
  const found: number[] = [];
  let beforeMs = nowMs + 1;
  // Backwards, a look each: mostly there is one, and after an absence only the latest count.
  while (beforeMs > firstMs && found.length < max) {
    beforeMs = cron.previousRuns(1, new Date(beforeMs))[0]?.getTime() ?? -Infinity;
    if (beforeMs >= firstMs) {
      found.push(beforeMs);
    }
  }
  return found.reverse();
}

/** Never started: it only tells times. A line without * and / in seconds, minutes and hours keeps to the clock when that changes. */
function ticks({ cron, timeZone }: CronLine): Cron {
  return new Cron(cron, { timezone: timeZone || 'UTC', mode: '5-or-6-parts', fixedTimeRule: 'no-wildcard', paused: true });
}

function problem(attempt: () => unknown): string | undefined {
  try {
    attempt();
    return undefined;
  } catch (error) {
    return (error as Error).message.replace(PREFIX, '');
  }
}
