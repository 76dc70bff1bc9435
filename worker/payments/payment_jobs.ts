/** Turns a file of intents into jobs, read as they are submitted: whatever its size, a few rows are in memory at a time. */
import type { NewJob, StreamOptions } from '../index.ts';
import type { IntentPayload } from './intent.ts';
import { IntentFileError, readIntentFile } from './intent_file.ts';
import { jobIdOf } from './job_id.ts';

export const paymentsQueue = 'payments';
export const captureType = 'payment.capture';

/**
 * Tries before a job is given up. The slowest provider of the example file answers at the third; the rest is room for
 * workers that die.
 */
const attemptsMax = 5;

/**
 * A file is read as fast as it is submitted, so a chunk need not leave before it is full. Full chunks make full leases: a
 * worker that was handed crumbs gets room by crumbs, and is handed crumbs again.
 */
export const fileStreamOptions: StreamOptions = { chunkJobs: 500, lingerMs: 1_000 };

/** A row that cannot be read and is not submitted. */
export interface UnreadableRow {
  line: number;
  problem: string;
}

export interface PaymentJobsOptions {
  path: string;
  run: string;
  /** Default `payments`. */
  queue?: string;
  /** Repeat the file, copy after copy, up to this many jobs. Undefined: the file once. */
  jobCount?: number | undefined;
  /** Told once of each, while the first copy is read. */
  onUnreadable: (row: UnreadableRow) => void;
}

/** The jobs, in the order of the file. Throws IntentFileError when not one row can be read. */
export async function* paymentJobs(options: PaymentJobsOptions): AsyncGenerator<NewJob> {
  const { path, run, queue = paymentsQueue, jobCount = Infinity, onUnreadable } = options;
  let jobs = 0;
  for (let copy = 1; jobs < jobCount && (copy === 1 || jobCount !== Infinity); copy += 1) {
    for await (const read of readIntentFile(path)) {
      if ('problem' in read) {
        if (copy === 1) onUnreadable(read);
        continue;
      }
      if (jobs === jobCount) return;
      const payload: IntentPayload = { run, copy, line: read.line, ...read.row };
      yield { id: jobIdOf(run, copy, read.line), queue, type: captureType, payload, maxAttempts: attemptsMax };
      jobs += 1;
    }
    if (jobs === 0) throw new IntentFileError('Not one row of the file can be read.');
  }
}
