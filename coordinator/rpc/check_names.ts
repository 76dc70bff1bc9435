import { invalidArgument, SkipleaseError } from '../errors.ts';
import type { FieldViolation } from '../errors.ts';
import type { Retention } from '../types.ts';
import { parseUuid, uuidTimeMs } from './ids.ts';
import { isName, NAME_WORDS } from './names.ts';

/** Looking on after so many would help nobody. */
const VIOLATIONS_MAX = 100;
/** Of what was sent instead of an id, so much is repeated. */
const SHOWN_CHARACTERS_MAX = 50;
const DAY_MS = 24 * 3_600_000;

/** Ids of jobs in a request: `field` such as `job_ids`; INVALID_ARGUMENT for what is no UUID, or for too many or none. */
export function checkJobIds(given: string[], max: number, field: string): string[] {
  if (given.length < 1 || given.length > max) {
    throw invalidArgument([{ field, description: `has ${given.length} ids: 1 to ${max} are accepted` }]);
  }
  const violations: FieldViolation[] = [];
  const ids = given.map((text, index) => {
    const id = parseUuid(text);
    if (id === undefined && violations.length < VIOLATIONS_MAX) {
      violations.push({ field: `${field}[${index}]`, description: notAnId(text) });
    }
    return id ?? '';
  });
  if (violations.length > 0) {
    throw invalidArgument(violations);
  }
  return ids;
}

/** One id of a job; INVALID_ARGUMENT for what is no UUID. */
export function checkJobId(given: string, field = 'job_id'): string {
  const id = parseUuid(given);
  if (id === undefined) {
    throw invalidArgument([{ field, description: given === '' ? 'is missing' : notAnId(given) }]);
  }
  return id;
}

/** The id of a batch; INVALID_ARGUMENT for what is no UUID. */
export function checkBatchId(given: string, field = 'batch_id'): string {
  const id = parseUuid(given);
  if (id === undefined) {
    throw invalidArgument([{ field, description: given === '' ? 'is missing' : notAnId(given, 'batch') }]);
  }
  return id;
}

/** NOT_FOUND for a batch that is not there (any more). */
export function noSuchBatch(id: string): SkipleaseError {
  return new SkipleaseError('NOT_FOUND', 'BATCH_NOT_FOUND', `There is no batch ${id}.`, { metadata: { batch_id: id } });
}

/** A queue's name in a request; INVALID_ARGUMENT for what cannot be one. */
export function checkQueueName(name: string, field = 'queue'): string {
  if (!isName(name)) {
    throw invalidArgument([{ field, description: NAME_WORDS }]);
  }
  return name;
}

/** NOT_FOUND for a queue that was never submitted to. */
export function noSuchQueue(name: string): SkipleaseError {
  return new SkipleaseError('NOT_FOUND', 'QUEUE_NOT_FOUND',
    `There is no queue ${JSON.stringify(name)}: it comes into being at its first submit.`, { metadata: { queue: name } });
}

/** NOT_FOUND for a job that is not there, or not any more: one that is so old may have been forgotten. */
export function noSuchJob(id: string, nowMs: number, { days, failedDays }: Retention): SkipleaseError {
  const ageDays = id[14] === '7' ? Math.floor((nowMs - uuidTimeMs(id)) / DAY_MS) : 0;
  const words = ageDays < days ? `There is no job ${id}.`
    : `There is no job ${id} any more, if there ever was: its id is ${ageDays} days old, and a job is forgotten ${days} days after its end (${failedDays} if it FAILED).`;
  return new SkipleaseError('NOT_FOUND', 'JOB_NOT_FOUND', words, { metadata: { job_id: id } });
}

/** NOT_FOUND for a schedule that is not there (any more). */
export function noSuchSchedule(name: string): SkipleaseError {
  return new SkipleaseError('NOT_FOUND', 'SCHEDULE_NOT_FOUND', `There is no schedule ${JSON.stringify(name)}.`, { metadata: { schedule: name } });
}

function notAnId(given: string, of = 'job'): string {
  return `${JSON.stringify(given.slice(0, SHOWN_CHARACTERS_MAX))} is not a ${of}'s id (a UUID)`;
}
