import type { JobSpec } from '../../proto/gen/skiplease/v1/job.ts';
import { invalidArgument } from '../errors.ts';
import type { FollowUp } from '../store/create_batch.ts';
import { checkJob } from './validate.ts';
import type { JobRules } from './job_rules.ts';

/** What nobody could answer for when, long after this call, the job is submitted. */
const REFUSED = {
  batch_id: (spec: JobSpec) => spec.batchId !== '',
  after_job_ids: (spec: JobSpec) => spec.afterJobIds.length > 0,
  unique: (spec: JobSpec) => spec.unique !== undefined,
};

/** A job that is submitted later, checked like one that is submitted now. Its delays count from then. */
export function checkFollowUp(spec: JobSpec, rules: JobRules, field: string): Omit<FollowUp, 'queueId'> {
  const violations = Object.entries(REFUSED).filter(([, isSet]) => isSet(spec))
    .map(([name]) => ({ field: `${field}.${name}`, description: 'cannot be set for a follow-up' }));
  if (violations.length > 0) {
    throw invalidArgument(violations);
  }
  const job = checkJob(spec, rules, field);
  return {
    job,
    delayMs: spec.start?.$case === 'delay' && job.runAtMs !== null ? job.runAtMs - rules.nowMs : null,
    startWithinMs: spec.deadline?.$case === 'startWithin' ? job.options!.startByMs! - rules.nowMs : null,
  };
}
