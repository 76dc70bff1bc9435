/**
 * Submits a file of payment intents to a running coordinator: `npx node worker/payments/submit.ts [--input FILE] [--jobs N]
 * [--run UUID]`. It prints its run; the same run again creates nothing twice.
 */
import { parseArgs } from 'node:util';
import { validate, version } from 'uuid';
import { JobClient, SkipleaseError } from '../index.ts';
import { IntentFileError } from './intent_file.ts';
import { newRun } from './job_id.ts';
import { fileStreamOptions, paymentJobs } from './payment_jobs.ts';
import { coordinatorAddresses, securityOf } from './places.ts';
import { exampleFile, InputError, wholeNumber } from './input.ts';

async function main(): Promise<void> {
  const { values } = parseArgs({ options: { input: { type: 'string' }, jobs: { type: 'string' }, run: { type: 'string' } } });
  const run = values.run ?? newRun();
  if (!validate(run) || version(run) !== 7) throw new InputError('--run must be a UUIDv7, such as an earlier submit has printed.');
  const jobCount = values.jobs === undefined ? undefined : wholeNumber('--jobs', values.jobs, 1, 100_000_000);
  const client = new JobClient({ addresses: coordinatorAddresses(process.env), ...securityOf(process.env) });
  try {
    const started = performance.now();
    const totals = await client.stream(paymentJobs({
      path: values.input ?? exampleFile,
      run,
      jobCount,
      onUnreadable: ({ line, problem }) => console.error(`line ${line} was not submitted: ${problem}`),
    }), fileStreamOptions);
    const seconds = ((performance.now() - started) / 1000).toFixed(1);
    console.log(`${totals.created} jobs created in ${seconds} s, ${totals.existing} were there already (--run ${run})`);
    for (const { jobIds, error } of totals.refusals) console.error(`${jobIds.length} jobs were refused: ${error?.message}`);
    if (totals.refused > 0) process.exitCode = 1;
  } finally {
    client.close();
  }
}

try {
  await main();
} catch (error) {
  const plain = error instanceof InputError || error instanceof IntentFileError || error instanceof SkipleaseError
    || (error as NodeJS.ErrnoException).code !== undefined;
  console.error(plain ? (error as Error).message : error);
  process.exitCode = 1;
}
