import type { JobOutcome, Progress, Report } from '../../proto/gen/skiplease/v1/worker_service.ts';
import type { Move } from '../engine/decide.ts';
import type { ReportedJob } from '../engine/settler.ts';
import { invalidArgument, type FieldViolation, type SkipleaseError } from '../errors.ts';
import { REPORT_OUTCOMES_MAX } from '../limits.ts';
import { parseUuid } from './ids.ts';
import { storedContent, type Content } from './payload.ts';
import { DAY_MS, durationMs, type DurationBounds } from './time.ts';
import { checkJobs } from './validate.ts';
import type { Duration } from '../../proto/gen/google/protobuf/duration.ts';

const DELAY: DurationBounds = { minMs: 0, maxMs: 365 * DAY_MS, words: '0 to 365 days' };
const FOLLOW_UPS_MAX = 100;
const CODE_CHARACTERS_MAX = 100;
const MESSAGE_CHARACTERS_MAX = 2_000;
const DETAILS_CHARACTERS_MAX = 8_000;
export const CHECKPOINT_BYTES_MAX = 65_536;
const NOTE_CHARACTERS_MAX = 200;
/** Of one outcome, so many violations are told, in so many characters. */
const REFUSALS_MAX = 3;
const REFUSAL_CHARACTERS_MAX = 300;

/** By far the most reports are these: success, no result, no follow-ups. */
const PLAIN_SUCCESS: Move = { kind: 'succeed', result: null, resultType: null, followUps: [] };

export interface ReportRules {
  resultBytesMax: number;
  payloadBytesMax: number;
  retentionDays?: number;
  /** Of the database's clock. */
  nowMs: number;
}

/**
 * What a report says of each job. A job whose outcome is malformed is refused by itself, with a reason for its receipt;
 * a report with too many outcomes ends the stream: INVALID_ARGUMENT.
 */
export function checkReport(report: Report, rules: ReportRules): ReportedJob[] {
  if (report.outcomes.length > REPORT_OUTCOMES_MAX) {
    throw invalidArgument([{ field: 'report.outcomes', description: `has more than ${REPORT_OUTCOMES_MAX} outcomes` }]);
  }
  return report.outcomes.map((outcome) => reportedJob(outcome, rules));
}

function reportedJob(given: JobOutcome, rules: ReportRules): ReportedJob {
  const jobId = parseUuid(given.jobId);
  if (jobId === undefined) {
    return { jobId: given.jobId.slice(0, 64), move: { refused: 'job_id is not a UUID' } };
  }
  if (isPlainSuccess(given)) {
    return { jobId, move: PLAIN_SUCCESS };
  }
  const violations: FieldViolation[] = [];
  const move = moveOf(given, rules, violations);
  return violations.length === 0 ? { jobId, move } : { jobId, move: { refused: refusal(violations) } };
}

/** There may be ten thousand of these in one receipt. */
function refusal(violations: FieldViolation[]): string {
  const shown = violations.slice(0, REFUSALS_MAX).map(({ field, description }) => `${field}: ${description}`);
  const more = violations.length > REFUSALS_MAX ? ` (and ${violations.length - REFUSALS_MAX} more)` : '';
  return shown.join('; ').slice(0, REFUSAL_CHARACTERS_MAX) + more;
}

function isPlainSuccess({ outcome, followUps }: JobOutcome): boolean {
  return outcome?.$case === 'succeeded' && outcome.value.result === undefined && followUps.length === 0;
}

function moveOf(given: JobOutcome, rules: ReportRules, violations: FieldViolation[]): Move {
  const { outcome } = given;
  if (given.followUps.length > 0 && outcome?.$case !== 'succeeded') {
    violations.push({ field: 'follow_ups', description: 'go with succeeded only' });
  }
  switch (outcome?.$case) {
    case 'succeeded':
      return success(outcome.value.result === undefined ? undefined : storedContent(outcome.value.result, rules.resultBytesMax, 'succeeded.result', violations),
        given, rules, violations);
    case 'failed': {
      const { error, permanent, retryDelay } = outcome.value;
      return {
        kind: 'fail',
        code: kept(error?.code ?? '', CODE_CHARACTERS_MAX),
        message: kept(error?.message ?? '', MESSAGE_CHARACTERS_MAX),
        details: kept(error?.details ?? '', DETAILS_CHARACTERS_MAX),
        permanent,
        retryDelayMs: retryDelay === undefined ? null : (durationMs(retryDelay, DELAY, 'failed.retry_delay', violations) ?? 0),
      };
    }
    case 'released':
      return { kind: 'release', snoozed: false, delayMs: delay(outcome.value.delay, 'released.delay', violations) };
    case 'snoozed':
      return { kind: 'release', snoozed: true, delayMs: delay(outcome.value.delay, 'snoozed.delay', violations) };
    case undefined:
      violations.push({ field: 'outcome', description: 'is missing: succeeded, failed, released or snoozed' });
      return PLAIN_SUCCESS;
  }
}

function success(result: Content | undefined, given: JobOutcome, rules: ReportRules, violations: FieldViolation[]): Move {
  if (result === undefined && given.followUps.length === 0) {
    return PLAIN_SUCCESS;
  }
  const move: Extract<Move, { kind: 'succeed' }> = { kind: 'succeed', result: result?.bytes ?? null, resultType: result?.contentType ?? null, followUps: [] };
  if (given.followUps.length > 0) {
    try {
      move.followUps = checkJobs(given.followUps, rules, { min: 1, max: FOLLOW_UPS_MAX }, (index) => `follow_ups[${index}]`, 'follow_ups');
    } catch (error) {
      violations.push(...(error as SkipleaseError).violations);
    }
  }
  return move;
}

function delay(given: Duration | undefined, field: string, violations: FieldViolation[]): number {
  return given === undefined ? 0 : (durationMs(given, DELAY, field, violations) ?? 0);
}

/** As much as is kept, and nothing that PostgreSQL's text cannot hold. */
function kept(text: string, charactersMax: number): string {
  return text.slice(0, charactersMax).replaceAll('\0', '').toWellFormed();
}

/** What a worker says of a job's progress; INVALID_ARGUMENT when it is malformed. */
export function checkProgress(given: Progress): { jobId: string; percent: number; note: string; checkpoint: Content | undefined } {
  const violations: FieldViolation[] = [];
  const jobId = parseUuid(given.jobId);
  if (jobId === undefined) {
    violations.push({ field: 'progress.job_id', description: 'is not a UUID' });
  }
  if (!(given.percent >= 0 && given.percent <= 100)) {
    violations.push({ field: 'progress.percent', description: `is ${given.percent}: 0 to 100 is accepted` });
  }
  const checkpoint = given.checkpoint === undefined ? undefined : storedContent(given.checkpoint, CHECKPOINT_BYTES_MAX, 'progress.checkpoint', violations);
  if (violations.length > 0) {
    throw invalidArgument(violations);
  }
  return { jobId: jobId!, percent: given.percent, note: kept(given.note, NOTE_CHARACTERS_MAX), checkpoint };
}
