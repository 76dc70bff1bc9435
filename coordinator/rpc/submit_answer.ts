import type { SubmitAnswer } from '../engine/engine.ts';
import type { NewJob } from '../types.ts';

/** The ids that a submit answers with, in the order of its jobs: where another job has the unique key, that job's. */
export function submittedIds(jobs: NewJob[], { existingIds, standIns }: SubmitAnswer): { jobIds: string[]; existingJobIds: string[] } {
  const jobIds = jobs.map(({ id }) => standIns?.get(id) ?? id);
  return { jobIds, existingJobIds: standIns === undefined ? existingIds : [...existingIds, ...standIns.values()] };
}
