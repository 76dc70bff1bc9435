import { SerialRetry } from '../../proto/gen/skiplease/v1/queue_service.ts';
import type { Limit as LimitMessage } from '../../proto/gen/skiplease/v1/queue_service.ts';
import type { FieldViolation } from '../errors.ts';
import type { Limit, Rate } from '../types.ts';
import { DAY_MS, durationMs, toDuration } from './time.ts';
import type { DurationBounds } from './time.ts';

const RUNNING_MAX = 100_000;
const STARTS_MAX = 1_000_000;
const PERIOD: DurationBounds = { minMs: 1, maxMs: DAY_MS, words: '1 ms to 1 day' };

/** What a limit at `field` says; null: an empty one, which lifts it. What is wrong goes to the violations. */
export function checkLimit(given: LimitMessage, field: string, violations: FieldViolation[]): Limit | null {
  const within = (value: number, min: number, max: number, name: string) => {
    if (!(value >= min && value <= max)) {
      violations.push({ field: `${field}.${name}`, description: `is ${value}: ${min} to ${max} are accepted` });
    }
    return value;
  };
  const runningMax = within(given.runningMax, 0, RUNNING_MAX, 'running_max');
  let rate: Rate | null = null;
  if (given.rate !== undefined) {
    if (given.rate.period === undefined) {
      violations.push({ field: `${field}.rate.period`, description: 'is missing' });
    }
    rate = {
      starts: within(given.rate.starts, 1, STARTS_MAX, 'rate.starts'),
      periodMs: given.rate.period === undefined ? 0 : durationMs(given.rate.period, PERIOD, `${field}.rate.period`, violations) ?? 0,
      burst: within(given.rate.burst, 0, STARTS_MAX, 'rate.burst') || 1,
    };
  }
  return runningMax === 0 && rate === null ? null : { runningMax: runningMax || null, rate };
}

/** A limit as the wire says it. */
export function limitMessage(limit: Limit | null): LimitMessage | undefined {
  return limit === null ? undefined : {
    runningMax: limit.runningMax ?? 0,
    rate: limit.rate === null ? undefined : { starts: limit.rate.starts, period: toDuration(limit.rate.periodMs), burst: limit.rate.burst },
  };
}

/** The number as it is stored. */
export function checkSerialRetry(given: SerialRetry, field: string, violations: FieldViolation[]): number {
  if (given === SerialRetry.UNSPECIFIED) {
    return SerialRetry.WAIT;
  }
  if (given !== SerialRetry.WAIT && given !== SerialRetry.GO_AHEAD) {
    violations.push({ field, description: 'is none of SerialRetry' });
  }
  return given;
}
