import type { Attempt, BlockedReason, Job, JobError, JobState } from '../../proto/gen/skiplease/v1/job.ts';
import { JobState as Numbers } from '../types.ts';
import type { AttemptRow, FullJobRow } from '../store/get_jobs.ts';
import type { JobRow } from '../store/job_place.ts';
import { uuidTimeMs } from './ids.ts';
import { shownPayload } from './payload.ts';
import { shownOptions } from './shown_options.ts';
import { toDuration } from './time.ts';

/** Errors of a thousand attempts could pass a client's message limit: beyond this the oldest lose their details, then their messages. */
const ATTEMPTS_CHARACTERS_MAX = 256 * 1024;
/** A page stays well below the 4 MiB that clients receive by default. */
const PAGE_CHARACTERS_MAX = 768 * 1024;

/** A job with all there is to know of it. */
export function fullJob(row: FullJobRow): Job {
  const job = listedJob(row);
  const progress = row.percent === null ? undefined : {
    percent: row.percent, note: row.note!, updateTime: new Date(row.progressAtMs!), hasCheckpoint: row.hasCheckpoint!,
  };
  return {
    ...job,
    payload: shownPayload(row.payload, row.contentType),
    afterJobIds: row.after ?? [],
    result: row.result === null ? undefined : shownPayload(row.result, row.resultType),
    error: job.error === undefined || row.state === Numbers.CANCELLED ? job.error : lastError(row),
    attempts: withinBounds(row.attempts.map(attempt)),
    progress,
  };
}

/** A job as lists show it: without payload, result and history. */
export function listedJob(row: JobRow): Job {
  return {
    id: row.id,
    queue: row.queue,
    type: row.type,
    state: row.state as JobState,
    payload: undefined,
    priority: row.priority,
    attempt: row.attempt,
    maxAttempts: row.maxAttempts,
    createTime: new Date(uuidTimeMs(row.id)),
    runAt: time(row.dueAtMs),
    finishTime: time(row.finishedAtMs),
    result: undefined,
    error: shownError(row),
    attempts: [],
    workerId: row.workerId ?? '',
    timeout: row.timeoutMs === null ? undefined : toDuration(row.timeoutMs),
    headers: row.headers ?? {},
    progress: undefined,
    originJobId: row.originId ?? '',
    retriedAsJobId: row.retriedAsId ?? '',
    ...shownOptions(row.options),
    afterJobIds: [],
    blockedReason: (row.blockedReason ?? 0) as BlockedReason,
  };
}

/** As many of the jobs, from the first, as one message should carry: at least one. */
export function pageWithinBounds(rows: JobRow[]): JobRow[] {
  let characters = 0;
  const end = rows.findIndex((row) => {
    characters += 512 + (row.errorMessage?.length ?? 0) + (row.headers === null ? 0 : JSON.stringify(row.headers).length);
    return characters > PAGE_CHARACTERS_MAX;
  });
  return end === -1 ? rows : rows.slice(0, Math.max(end, 1));
}

function shownError(row: JobRow): JobError | undefined {
  if (row.state === Numbers.CANCELLED) {
    return { code: row.cancelCode ?? '', message: row.cancelReason ?? '', details: '' };
  }
  // A success may have failed before: its attempts tell.
  return row.errorCode === null || row.state === Numbers.SUCCEEDED ? undefined
    : { code: row.errorCode, message: row.errorMessage ?? '', details: '' };
}

function lastError({ attempts }: FullJobRow): JobError | undefined {
  const last = attempts.at(-1);
  return last && { code: last.code, message: last.message, details: last.details };
}

function attempt({ number, state, code, message, details, workerId, startedAtMs, endedAtMs }: AttemptRow): Attempt {
  return {
    number,
    state: state as Attempt['state'],
    error: { code, message, details },
    workerId,
    startTime: new Date(startedAtMs),
    endTime: new Date(endedAtMs),
  };
}

/** Cuts the oldest errors short, so that the newest are whole. */
function withinBounds(attempts: Attempt[]): Attempt[] {
  let characters = 0;
  return attempts.reverse().map((one) => {
    const { code, message, details } = one.error!;
    characters += message.length + details.length;
    if (characters <= ATTEMPTS_CHARACTERS_MAX) {
      return one;
    }
    return { ...one, error: { code, message: characters <= 2 * ATTEMPTS_CHARACTERS_MAX ? message : '', details: '' } };
  }).reverse();
}

function time(ms: number | null): Date | undefined {
  return ms === null ? undefined : new Date(ms);
}
