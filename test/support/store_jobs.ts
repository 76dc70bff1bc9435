import { v7 as uuidv7 } from 'uuid';
import type { NewJob } from '../../coordinator/types.ts';
import type { SubmitRow } from '../../coordinator/store/submit.ts';

/** A job as `rpc/` would pass it on: a fresh id, queue `q`, type `t`, a payload of a few bytes. */
export function newJob(fields: Partial<NewJob> = {}): NewJob {
  return {
    id: uuidv7(), queue: 'q', type: 't', payload: Buffer.from('{}'), contentType: null, priority: 0, runAtMs: null,
    maxAttempts: null, timeoutMs: null, headers: null, originId: null, options: null, ...fields,
  };
}

export function newJobs(count: number, fields: Partial<NewJob> = {}): NewJob[] {
  return Array.from({ length: count }, () => newJob(fields));
}

export function rowsOf(queueId: number, jobs: NewJob[]): SubmitRow[] {
  return jobs.map((job) => ({ job, queueId }));
}
