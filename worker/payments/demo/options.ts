/** What the demo is asked to do on its command line. */
import { parseArgs } from 'node:util';
import { exampleFile, InputError, wholeNumber } from '../input.ts';

export interface DemoOptions {
  path: string;
  /** Undefined: the file once. */
  jobCount: number | undefined;
  /** Jobs that a lease carries at most. */
  leaseJobsMax: number;
  /** Per cent of the jobs that have ended when a worker is killed. */
  killAtPercent: number;
}

export const usage = `npm run demo -- [options]

  --input FILE       your own CSV with the columns of worker/payments/intents.csv (default: that file)
  --jobs N           repeat the file up to N jobs
  --batch N          how many jobs a lease carries at most, 1 to 1000 (default 250)
  --kill-at PERCENT  when a worker is killed, 1 to 99 (default 50)
  --help             this text

Runs on an embedded PostgreSQL in data/demo, or on DATABASE_URL where that is set.`;

/** Throws InputError; undefined for --help. */
export function readOptions(parameters: readonly string[]): DemoOptions | undefined {
  let values;
  try {
    ({ values } = parseArgs({
      args: [...parameters],
      options: {
        input: { type: 'string', default: exampleFile },
        jobs: { type: 'string' },
        batch: { type: 'string', default: '250' },
        'kill-at': { type: 'string', default: '50' },
        help: { type: 'boolean', default: false },
      },
    }));
  } catch (error) {
    throw new InputError(`${(error as Error).message}\n\n${usage}`);
  }
  if (values.help) return undefined;
  return {
    path: values.input,
    jobCount: values.jobs === undefined ? undefined : wholeNumber('--jobs', values.jobs, 1, 100_000_000),
    leaseJobsMax: wholeNumber('--batch', values.batch, 1, 1000),
    killAtPercent: wholeNumber('--kill-at', values['kill-at'], 1, 99),
  };
}
