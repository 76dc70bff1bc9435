import { JobFilter as WireFilter } from '../../proto/gen/skiplease/v1/job_service.ts';

/** Which jobs: each field that is given must hold, and at least one of queue, type and batchId must be. */
export interface JobFilter {
  queue?: string;
  type?: string;
  batchId?: string;
  /** By creation; inclusive. */
  createdFrom?: Date;
  createdBefore?: Date;
}

/** FAILED jobs, by the class of their last error too. */
export interface FailedJobFilter extends JobFilter {
  errorCode?: string;
}

export function wireFilter(filter: FailedJobFilter): WireFilter {
  return WireFilter.create(filter);
}
