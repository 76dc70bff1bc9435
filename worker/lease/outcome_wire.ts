import type { JobError, JobSpec } from '../../proto/gen/skiplease/v1/job.ts';
import type { JobOutcome } from '../../proto/gen/skiplease/v1/worker_service.ts';
import type { PayloadCodec } from '../codec/codec.ts';
import { specBytes } from '../new_job.ts';
import { durationFromMs } from '../wire/duration.ts';
import { payloadFrom } from '../wire/payload.ts';

/** What is kept of an error, in characters (JobError in the contract). */
const codeCharactersMax = 100;
const messageCharactersMax = 2_000;
const detailsCharactersMax = 8_000;

/** Id, tags and lengths of one outcome, at most. */
const outcomeOverheadBytes = 128;

/** What most jobs come to: one object for all of them. */
const succeededWithoutResult: JobOutcome['outcome'] = { $case: 'succeeded', value: { result: undefined } };
const noFollowUps: JobSpec[] = [];

/** Throws TypeError when the result cannot be written as JSON. */
export function succeededOutcome(jobId: string, result: unknown, codec?: PayloadCodec): JobOutcome {
  const payload = payloadFrom(result, '', codec);
  return outcome(jobId, payload === undefined ? succeededWithoutResult : { $case: 'succeeded', value: { result: payload } });
}

export function failedOutcome(
  jobId: string,
  error: JobError,
  { permanent = false, retryDelayMs }: { permanent?: boolean; retryDelayMs?: number } = {},
): JobOutcome {
  const kept = {
    code: cut(error.code, codeCharactersMax),
    message: cut(error.message, messageCharactersMax),
    details: cut(error.details, detailsCharactersMax),
  };
  const retryDelay = retryDelayMs === undefined ? undefined : durationFromMs(retryDelayMs);
  return outcome(jobId, { $case: 'failed', value: { error: kept, permanent, retryDelay } });
}

export function releasedOutcome(jobId: string, delayMs = 0): JobOutcome {
  const delay = delayMs === 0 ? undefined : durationFromMs(delayMs);
  return outcome(jobId, { $case: 'released', value: { delay } });
}

export function snoozedOutcome(jobId: string, delayMs: number): JobOutcome {
  return outcome(jobId, { $case: 'snoozed', value: { delay: durationFromMs(delayMs) } });
}

/** At least as many bytes as the outcome has on the wire. */
export function outcomeBytes({ outcome: what, followUps }: JobOutcome): number {
  let bytes = outcomeOverheadBytes;
  for (const spec of followUps) bytes += specBytes(spec);
  if (what?.$case === 'succeeded') {
    const content = what.value.result?.content;
    return bytes + (content?.$case === 'data' ? content.value.length : 0);
  }
  if (what?.$case === 'failed') {
    const { code = '', message = '', details = '' } = what.value.error ?? {};
    return bytes + 3 * (code.length + message.length + details.length);
  }
  return bytes;
}

function outcome(jobId: string, what: JobOutcome['outcome']): JobOutcome {
  return { jobId, outcome: what, followUps: noFollowUps };
}

/** Text that PostgreSQL can store: no NUL, no half of a surrogate pair. */
function cut(text: string, charactersMax: number): string {
  return text.slice(0, charactersMax).replaceAll('\0', '\ufffd').toWellFormed();
}
