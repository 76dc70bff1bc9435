import type { JobOutcome } from '../../proto/gen/skiplease/v1/worker_service.ts';
import type { Session } from '../stream/session.ts';
import type { HeldJob } from './held_job.ts';
import type { HeldLeases } from './held_leases.ts';
import { failedOutcome, outcomeBytes } from './outcome_wire.ts';
import type { ProgressOutbox } from './progress_outbox.ts';

/** Reports of one lease that may wait for their receipts. While they do, outcomes gather: a busy coordinator gets larger reports. */
const unansweredOfLeaseMax = 4;

/** The same for all leases together: many small ones travel side by side, and are committed together. */
const unansweredMax = 256;

/** What a report's message may hold beside its outcomes. */
const messageSlackBytes = 4_096;

/** Used until a coordinator has named its own. */
const defaultLimits = { receiveBytesMax: 4 * 1024 * 1024, resultBytesMax: 256 * 1024, reportOutcomesMax: 10_000 };

/**
 * Sends outcomes, grouped by lease. On an idle stream the first goes out in the turn of the event loop in which it was
 * known; whatever else is known by then goes with it. Nothing is forgotten before its receipt: a new stream gets it again.
 */
export class Reporter {
  readonly #leases: HeldLeases;
  readonly #progress: ProgressOutbox;
  #pending = new Map<string, HeldJob[]>();
  #session: Session | undefined;
  /** By token. */
  #unanswered = new Map<string, number>();
  #unansweredInAll = 0;
  #scheduled = false;

  constructor(leases: HeldLeases, progress: ProgressOutbox) {
    this.#leases = leases;
    this.#progress = progress;
  }

  /** The job's outcome is known. */
  add(job: HeldJob): void {
    const waiting = this.#pending.get(job.lease.token);
    if (waiting === undefined) this.#pending.set(job.lease.token, [job]);
    else waiting.push(job);
    this.#schedule();
  }

  /** A new stream: what has no receipt is reported again. */
  attach(session: Session): void {
    this.#session = session;
    this.#unanswered = new Map();
    this.#unansweredInAll = 0;
    this.#pending = new Map();
    for (const job of this.#leases.answered()) this.add(job);
  }

  detach(): void {
    this.#session = undefined;
  }

  /** A report has its receipt. */
  answered(token: string): void {
    const left = (this.#unanswered.get(token) ?? 0) - 1;
    if (left < 0) return;
    if (left === 0) this.#unanswered.delete(token);
    else this.#unanswered.set(token, left);
    this.#unansweredInAll -= 1;
    this.#schedule();
  }

  /** After a refused write there is room again. */
  writable(): void {
    this.#schedule();
  }

  #schedule(): void {
    if (this.#scheduled || this.#pending.size === 0) return;
    this.#scheduled = true;
    setImmediate(() => {
      this.#scheduled = false;
      this.#flush();
    });
  }

  #flush(): void {
    for (const [token, jobs] of this.#pending) {
      while (jobs.length > 0 && (this.#unanswered.get(token) ?? 0) < unansweredOfLeaseMax) {
        if (this.#session?.writer.writable !== true || this.#unansweredInAll >= unansweredMax) return;
        this.#send(this.#session, token, jobs);
      }
      if (jobs.length === 0) this.#pending.delete(token);
    }
  }

  /** One report: as many of the jobs as the coordinator takes in one message. */
  #send(session: Session, token: string, jobs: HeldJob[]): void {
    const limits = session.welcome?.limits ?? defaultLimits;
    const bytesMax = (limits.receiveBytesMax || defaultLimits.receiveBytesMax) - messageSlackBytes;
    const outcomesMax = limits.reportOutcomesMax || defaultLimits.reportOutcomesMax;
    const outcomes: JobOutcome[] = [];
    let bytes = 0;
    let taken = 0;
    for (const job of jobs) {
      if (job.phase === 'answered') {
        const outcome = fitting(job.outcome!, limits.resultBytesMax || defaultLimits.resultBytesMax);
        bytes += outcomeBytes(outcome);
        if (outcomes.length === outcomesMax || (bytes > bytesMax && outcomes.length > 0)) break;
        this.#progress.sendLast(job);
        outcomes.push(outcome);
      }
      taken += 1;
    }
    jobs.splice(0, taken);
    if (outcomes.length === 0) return;
    this.#unanswered.set(token, (this.#unanswered.get(token) ?? 0) + 1);
    this.#unansweredInAll += 1;
    session.writer.write({ $case: 'report', value: { token, outcomes } });
  }
}

/** A result over the limit would be refused, or break the stream; the job has run, so running it again is of no use. */
function fitting(outcome: JobOutcome, resultBytesMax: number): JobOutcome {
  if (outcome.outcome?.$case !== 'succeeded') return outcome;
  const content = outcome.outcome.value.result?.content;
  if (content?.$case !== 'data' || content.value.length <= resultBytesMax) return outcome;
  const message = `the result has ${content.value.length} bytes, more than the ${resultBytesMax} that are kept`;
  return failedOutcome(outcome.jobId, { code: 'RESULT_TOO_LARGE', message, details: '' }, { permanent: true });
}
