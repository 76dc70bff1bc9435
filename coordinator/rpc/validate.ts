import type { JobSpec } from '../../proto/gen/skiplease/v1/job.ts';
import type { NewJob } from '../types.ts';
import { invalidArgument } from '../errors.ts';
import type { FieldViolation } from '../errors.ts';
import { checkCycles } from './check_cycles.ts';
import { newJobId, parseUuid, uuidTimeMs } from './ids.ts';
import { jobOptions } from './job_options.ts';
import type { JobRules } from './job_rules.ts';
import { isName, NAME_WORDS } from './names.ts';
import { storedContent } from './payload.ts';
import { DAY_MS, durationMs, timestampMs, YEAR_MS } from './time.ts';
import type { DurationBounds } from './time.ts';

export const ID_AGE_MS_MAX = DAY_MS;
export const ID_AHEAD_MS_MAX = 300_000;
const PRIORITY_MAX = 9;
const ATTEMPTS_MAX = 1_000;
const HEADERS_MAX = 64;
const HEADERS_BYTES_MAX = 16_384;
const DELAY: DurationBounds = { minMs: 0, maxMs: 10 * YEAR_MS + 3 * DAY_MS, words: '0 to 10 years' };
const TIMEOUT: DurationBounds = { minMs: 1, maxMs: 30 * DAY_MS, words: '1 ms to 30 days' };
/** Looking on after so many would help nobody. */
const VIOLATIONS_MAX = 100;

/** Checks one job of a request, at `field` such as `job`; INVALID_ARGUMENT with all that is wrong with it. */
export function checkJob(spec: JobSpec | undefined, rules: JobRules, field: string): NewJob {
  return checkJobs(spec === undefined ? [] : [spec], rules, { min: 1, max: 1 }, () => field, field)[0]!;
}

/** Checks the jobs of a request; INVALID_ARGUMENT with all that is wrong with them. */
export function checkJobs(
  specs: JobSpec[], rules: JobRules, count: { min: number; max: number },
  fieldAt: (index: number) => string = (index) => `jobs[${index}]`, listField = 'jobs',
): NewJob[] {
  if (specs.length < count.min || specs.length > count.max) {
    const given = specs.length > count.max ? `more than ${count.max}` : specs.length;
    const description = count.max === 1 ? 'is missing' : `has ${given} jobs: ${count.min} to ${count.max} are accepted`;
    throw invalidArgument([{ field: listField, description }]);
  }
  const violations: FieldViolation[] = [];
  const jobs: NewJob[] = [];
  // Jobs of one request mostly share their queue and type: a name that was just found good is not looked at again, and
  // one string serves all of them.
  const names: GoodNames = { queue: undefined, type: undefined };
  for (let index = 0; index < specs.length && violations.length < VIOLATIONS_MAX; index += 1) {
    jobs.push(newJob(specs[index]!, rules, names, fieldAt, index, violations));
  }
  checkCycles(jobs, fieldAt, violations);
  if (violations.length > 0) {
    throw invalidArgument(violations);
  }
  return jobs;
}

interface GoodNames {
  queue: string | undefined;
  type: string | undefined;
}

/** Paths are only made when something is wrong: `fieldAt` is not called for a good job without extras. */
function newJob(
  spec: JobSpec, rules: JobRules, names: GoodNames, fieldAt: (index: number) => string, index: number, violations: FieldViolation[],
): NewJob {
  const id = spec.id === '' ? newJobId(rules.nowMs) : givenId(spec.id, rules.nowMs, fieldAt, index, violations);
  const queue = spec.queue === names.queue ? names.queue : checkedName(spec.queue, names, 'queue', fieldAt, index, violations);
  const type = spec.type === names.type ? names.type : checkedName(spec.type, names, 'type', fieldAt, index, violations);
  if (spec.priority < 0 || spec.priority > PRIORITY_MAX) {
    violations.push({ field: `${fieldAt(index)}.priority`, description: `is ${spec.priority}: 0 to ${PRIORITY_MAX} are accepted` });
  }
  if (spec.maxAttempts < 0 || spec.maxAttempts > ATTEMPTS_MAX) {
    violations.push({ field: `${fieldAt(index)}.max_attempts`,
      description: `is ${spec.maxAttempts}: 1 to ${ATTEMPTS_MAX} are accepted, or 0 for the retry policy's` });
  }
  const content = isPlainData(spec, rules) ? { bytes: spec.payload.content.value, contentType: null }
    : storedContent(spec.payload, rules.payloadBytesMax, `${fieldAt(index)}.payload`, violations);
  return {
    id,
    queue,
    type,
    payload: content.bytes,
    contentType: content.contentType,
    priority: spec.priority,
    runAtMs: spec.start === undefined ? null : runAtMs(spec.start, rules.nowMs, fieldAt(index), violations),
    maxAttempts: spec.maxAttempts === 0 ? spec.retryPolicy?.maxAttempts ?? null : spec.maxAttempts,
    timeoutMs: spec.timeout === undefined ? null : durationMs(spec.timeout, TIMEOUT, `${fieldAt(index)}.timeout`, violations) ?? null,
    headers: headersText(spec.headers, fieldAt, index, violations),
    originId: null,
    options: jobOptions(spec, rules, fieldAt, index, violations),
  };
}

type PlainData = JobSpec & { payload: { content: { $case: 'data'; value: Uint8Array } } };

/** The fast path: bytes of the default type, within the limit. */
function isPlainData(spec: JobSpec, rules: JobRules): spec is PlainData {
  const content = spec.payload?.content;
  return content?.$case === 'data' && spec.payload!.contentType === '' && content.value.byteLength <= rules.payloadBytesMax;
}

/** The version digit of a UUIDv7, and its variant. */
const VERSION_AT = 14;
const VARIANT_AT = 19;

function givenId(
  given: string, nowMs: number, fieldAt: (index: number) => string, index: number, violations: FieldViolation[],
): string {
  const id = parseUuid(given);
  const problem = idProblem(id ?? '', nowMs);
  if (problem !== undefined) {
    violations.push({ field: `${fieldAt(index)}.id`, description: problem });
  }
  return id ?? given;
}

/** Why this, a UUID in its canonical form or no UUID at all, cannot be the id of something new. */
export function idProblem(id: string, nowMs: number): string | undefined {
  if (id[VERSION_AT] !== '7' || !'89ab'.includes(id[VARIANT_AT]!)) {
    return 'must be a UUIDv7 (its time orders jobs), or empty for one of the server\'s; other keys belong in a header or the payload';
  }
  const madeMs = uuidTimeMs(id);
  if (madeMs < nowMs - ID_AGE_MS_MAX || madeMs > nowMs + ID_AHEAD_MS_MAX) {
    return `was made at ${new Date(madeMs).toISOString()}: 24 hours past to 5 minutes ahead of the database's clock, `
      + `${new Date(nowMs).toISOString()}, are accepted`;
  }
  return undefined;
}

/** The id of a job that is to be made, at `field` such as `job_id`; INVALID_ARGUMENT when it cannot be one. Empty: a new one. */
export function checkNewJobId(given: string, nowMs: number, field: string): string {
  const id = given === '' ? newJobId(nowMs) : parseUuid(given);
  const problem = idProblem(id ?? '', nowMs);
  if (problem !== undefined) {
    throw invalidArgument([{ field, description: problem }]);
  }
  return id!;
}

function checkedName(
  name: string, names: GoodNames, field: 'queue' | 'type', fieldAt: (index: number) => string, index: number, violations: FieldViolation[],
): string {
  if (isName(name)) {
    names[field] = name;
  } else {
    violations.push({ field: `${fieldAt(index)}.${field}`, description: NAME_WORDS });
  }
  return name;
}

function runAtMs(start: NonNullable<JobSpec['start']>, nowMs: number, field: string, violations: FieldViolation[]): number | null {
  const ms = start.$case === 'runAt'
    ? timestampMs(start.value, `${field}.run_at`, violations)
    : nowMs + (durationMs(start.value, DELAY, `${field}.delay`, violations) ?? 0);
  return ms === undefined || ms <= nowMs ? null : ms;
}

function headersText(
  headers: Record<string, string>, fieldAt: (index: number) => string, index: number, violations: FieldViolation[],
): string | null {
  let count = 0;
  let bytes = 0;
  for (const key in headers) {
    const value = headers[key]!;
    count += 1;
    bytes += Buffer.byteLength(key) + Buffer.byteLength(value);
    if (key === '' || key.includes('\0') || value.includes('\0')) {
      violations.push({ field: `${fieldAt(index)}.headers`,
        description: 'a header needs a name, and neither name nor value may have a null character' });
    }
  }
  if (count === 0) {
    return null;
  }
  if (count > HEADERS_MAX || bytes > HEADERS_BYTES_MAX) {
    violations.push({ field: `${fieldAt(index)}.headers`,
      description: `${count} headers of ${bytes} bytes: at most ${HEADERS_MAX} and ${HEADERS_BYTES_MAX} bytes are accepted` });
  }
  return JSON.stringify(headers);
}
