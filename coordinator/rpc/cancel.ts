import { CancelOutcome } from '../../proto/gen/skiplease/v1/job_service.ts';
import type { CancelJobsRequest, CancelJobsResponse } from '../../proto/gen/skiplease/v1/job_service.ts';
import type { Engine } from '../engine/engine.ts';
import { refuseInvalid } from '../errors.ts';
import type { FieldViolation } from '../errors.ts';
import { cancelJobs } from '../store/cancel_jobs.ts';
import { cancelMatching } from '../store/cancel_matching.ts';
import type { Pool } from '../store/pool.ts';
import type { Access } from '../security/access.ts';
import { checkJobIds } from './check_names.ts';
import { theirJobs } from './their_jobs.ts';
import { asOf, checkNarrowFilter, withQueue } from './job_filter.ts';
import { UUID_MAX, UUID_MIN } from './ids.ts';

const JOB_IDS_MAX = 1_000;
const REASON_CHARACTERS_MAX = 200;

export interface CancelDependencies {
  engine: Engine;
  pool: Pool;
}

const OUTCOMES = {
  cancelled: CancelOutcome.CANCELLED, already_final: CancelOutcome.ALREADY_FINAL, not_found: CancelOutcome.NOT_FOUND,
  // A purge alone spares those.
  running: CancelOutcome.UNSPECIFIED,
} as const;

/** Cancels jobs, and tells whoever works on them. */
export class Canceller {
  readonly #engine: Engine;
  readonly #pool: Pool;

  constructor({ engine, pool }: CancelDependencies) {
    this.#engine = engine;
    this.#pool = pool;
  }

  /** JobService.CancelJobs. `stopped`: the caller has gone. */
  async cancel({ jobIds, filter, reason }: CancelJobsRequest, stopped: () => boolean, access: Access): Promise<CancelJobsResponse> {
    const violations = reasonViolations(reason);
    if (filter === undefined) {
      const ids = checkJobIds(jobIds, JOB_IDS_MAX, 'job_ids');
      refuseInvalid(violations);
      const theirs = await theirJobs(this.#pool, ids, access, 'operate');
      const results = await cancelJobs(this.#pool, theirs, reason, (commit) => this.#engine.jobsCancelled(commit, reason));
      const outcomes = new Map(results.map(({ id, outcome }) => [id, outcome]));
      return {
        results: ids.map((jobId) => ({ jobId, outcome: OUTCOMES[outcomes.get(jobId) ?? 'not_found'] })),
        jobsCancelled: results.filter(({ outcome }) => outcome === 'cancelled').length,
      };
    }
    const checked = checkNarrowFilter(filter, 'filter.', violations);
    if (jobIds.length > 0) {
      violations.push({ field: 'filter', description: 'cannot go together with job_ids' });
    }
    if (filter.errorCode !== '') {
      violations.push({ field: 'filter.error_code', description: 'is of RetryJobs only: a job that has failed cannot be cancelled' });
    }
    refuseInvalid(violations);
    const found = await withQueue(this.#pool, checked);
    const jobsCancelled = found === undefined ? 0 : await cancelMatching(this.#pool, {
      filter: asOf(this.#engine.nowMs(), found), reason, running: 'cancel', stopped, committed: (commit) => this.#engine.jobsCancelled(commit, reason),
    });
    return { results: [], jobsCancelled };
  }

  /** All that is not final in a batch, once `close` has closed it. Returns how many. */
  async cancelBatch(batchId: string, reason: string, close: () => Promise<void>, stopped: () => boolean): Promise<number> {
    refuseInvalid(reasonViolations(reason));
    await close();
    const filter = { queueId: undefined, type: undefined, batchId, errorCode: undefined, idFrom: UUID_MIN, idBefore: UUID_MAX };
    return cancelMatching(this.#pool, { filter, reason, running: 'cancel', stopped, committed: (commit) => this.#engine.jobsCancelled(commit, reason) });
  }

  /** All that waits in a queue. Returns how many. */
  purge(queueId: number, given: string, stopped: () => boolean): Promise<number> {
    refuseInvalid(reasonViolations(given));
    const reason = given === '' ? 'purged' : given;
    const all = { queueId, type: undefined, batchId: undefined, errorCode: undefined, idFrom: UUID_MIN, idBefore: UUID_MAX };
    return cancelMatching(this.#pool, {
      filter: asOf(this.#engine.nowMs(), all), reason, running: 'spare', stopped, committed: (commit) => this.#engine.jobsCancelled(commit, reason),
    });
  }
}

function reasonViolations(reason: string): FieldViolation[] {
  return reason.length <= REASON_CHARACTERS_MAX && !reason.includes('\0') ? [] : [{
    field: 'reason',
    description: `is ${reason.length} characters long: at most ${REASON_CHARACTERS_MAX}, none of them null, are accepted`,
  }];
}
