import { ReceiptStatus } from '../../proto/gen/skiplease/v1/worker_service.ts';
import type { JobReceipt, Receipt } from '../../proto/gen/skiplease/v1/worker_service.ts';
import type { Logger } from '../logger.ts';
import type { HeldJob } from './held_job.ts';
import type { HeldLeases } from './held_leases.ts';
import { leaseIdOf } from './held_leases.ts';
import { failedOutcome } from './outcome_wire.ts';
import type { Reporter } from './reporter.ts';

/** Acts on receipts: what is committed is forgotten; what was refused is reported once more, as a failure. */
export class Receipts {
  readonly #leases: HeldLeases;
  readonly #reporter: Reporter;
  readonly #logger: Logger;

  constructor(leases: HeldLeases, reporter: Reporter, logger: Logger) {
    this.#leases = leases;
    this.#reporter = reporter;
    this.#logger = logger;
  }

  apply(receipt: Receipt): void {
    for (const jobReceipt of receipt.jobs) {
      const job = this.#leases.find(receipt.token, jobReceipt.jobId);
      if (job?.phase === 'answered') this.#settle(job, jobReceipt);
    }
    this.#reporter.answered(receipt.token);
  }

  #settle(job: HeldJob, { status, message }: JobReceipt): void {
    if (status === ReceiptStatus.INVALID && !job.refused) return this.#refused(job, message);
    this.#leases.remove(job);
    if (status === ReceiptStatus.ACCEPTED || status === ReceiptStatus.DUPLICATE) return;
    const fields = { event: 'report_without_effect', job_id: job.wire.id, lease_id: leaseIdOf(job.lease.token) };
    if (status === ReceiptStatus.CANCELLED) {
      this.#logger.info(fields, 'the job was cancelled; its report changed nothing');
    } else if (status === ReceiptStatus.LEASE_LOST) {
      this.#logger.warn(fields, 'the lease of this job was lost; its report changed nothing');
    } else {
      this.#logger.error(fields, `the report of this job was refused twice and is given up: ${message}`);
    }
  }

  /**
   * The job stays leased until it is reported differently. Its handler has run, so a success that cannot be recorded
   * must not run again: it ends FAILED; any other outcome becomes an ordinary failed attempt.
   */
  #refused(job: HeldJob, message: string): void {
    const permanent = job.outcome?.outcome?.$case === 'succeeded';
    job.refused = true;
    job.outcome = failedOutcome(job.wire.id, { code: 'REPORT_INVALID', message, details: '' }, { permanent });
    this.#logger.error(
      { event: 'report_invalid', job_id: job.wire.id, job_type: job.wire.type },
      `the report of this job was refused and becomes a failure: ${message}`,
    );
    this.#reporter.add(job);
  }
}
