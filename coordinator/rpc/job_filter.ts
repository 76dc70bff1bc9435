import type { FieldViolation } from '../errors.ts';
import type { JobFilter } from '../store/job_filter.ts';
import type { Pool } from '../store/pool.ts';
import { getQueue } from '../store/queues.ts';
import { parseUuid, UUID_MAX, UUID_MIN, uuidFloor } from './ids.ts';
import { isName, NAME_WORDS } from './names.ts';
import { timestampMs } from './time.ts';
import { ID_AHEAD_MS_MAX } from './validate.ts';

const ERROR_CODE_CHARACTERS_MAX = 100;

/** What lists and calls by filter have in common. */
export interface GivenFilter {
  queue: string;
  type: string;
  batchId: string;
  createdFrom: Date | undefined;
  createdBefore: Date | undefined;
  errorCode: string;
}

/** A filter whose queue has not been looked up. */
export type CheckedFilter = Omit<JobFilter, 'queueId'> & { queue: string | undefined };

/** Checks the fields at `prefix`, such as `filter.`; what is wrong goes to the violations. */
export function checkFilter(given: GivenFilter, prefix: string, violations: FieldViolation[]): CheckedFilter {
  const fromMs = given.createdFrom && timestampMs(given.createdFrom, `${prefix}created_from`, violations);
  const beforeMs = given.createdBefore && timestampMs(given.createdBefore, `${prefix}created_before`, violations);
  for (const field of ['queue', 'type'] as const) {
    if (given[field] !== '' && !isName(given[field])) {
      violations.push({ field: `${prefix}${field}`, description: NAME_WORDS });
    }
  }
  const batchId = given.batchId === '' ? undefined : parseUuid(given.batchId);
  if (given.batchId !== '' && batchId === undefined) {
    violations.push({ field: `${prefix}batch_id`, description: 'must be a UUID' });
  }
  if (given.errorCode.length > ERROR_CODE_CHARACTERS_MAX || given.errorCode.includes('\0')) {
    violations.push({ field: `${prefix}error_code`, description: `must be at most ${ERROR_CODE_CHARACTERS_MAX} characters, none of them null` });
  }
  return {
    queue: given.queue === '' ? undefined : given.queue,
    type: given.type === '' ? undefined : given.type,
    batchId,
    errorCode: given.errorCode === '' ? undefined : given.errorCode,
    idFrom: fromMs === undefined ? UUID_MIN : uuidFloor(fromMs),
    idBefore: beforeMs === undefined ? UUID_MAX : uuidFloor(beforeMs),
  };
}

/** The same for a call that changes what it finds: it must say which jobs it means. */
export function checkNarrowFilter(given: GivenFilter, prefix: string, violations: FieldViolation[]): CheckedFilter {
  const checked = checkFilter(given, prefix, violations);
  if (given.queue === '' && given.type === '' && given.batchId === '') {
    violations.push({ field: prefix.slice(0, -1), description: 'needs at least one of queue, type and batch_id' });
  }
  return checked;
}

/** Jobs that come while a call by filter runs are none of its business: no job that was there has a later id. */
export function asOf(nowMs: number, filter: JobFilter): JobFilter {
  const idBefore = uuidFloor(nowMs + ID_AHEAD_MS_MAX);
  return filter.idBefore < idBefore ? filter : { ...filter, idBefore };
}

/** undefined: there is no such queue, and so no job. */
export async function withQueue(pool: Pool, { queue, ...filter }: CheckedFilter): Promise<JobFilter | undefined> {
  if (queue === undefined) {
    return { ...filter, queueId: undefined };
  }
  const found = await getQueue(pool, queue);
  return found && { ...filter, queueId: found.id };
}
