/**
 * `npm run demo`: ten thousand payment intents go through one coordinator and two workers, one of which is killed half-way,
 * into a ledger that adds up. Exits 0 when every invariant held, 1 when one is broken or the demo could not be played.
 */
import { join, relative } from 'node:path';
import { ChildError } from './demo/child.ts';
import { Fleet } from './demo/fleet.ts';
import { NoLeaseHeldError } from './demo/kill.ts';
import { readOptions, usage } from './demo/options.ts';
import { DemoError, play } from './demo/play.ts';
import { SkipleaseError } from '../index.ts';
import { InputError } from './input.ts';
import { IntentFileError } from './intent_file.ts';

/** Errors whose message says all that helps; of any other the stack is shown. */
const plainErrors = [ChildError, NoLeaseHeldError, DemoError, InputError, IntentFileError, SkipleaseError];

function tellError(error: unknown): void {
  const plain = plainErrors.some((kind) => error instanceof kind) || (error as NodeJS.ErrnoException).syscall !== undefined;
  process.stderr.write(`\n  The demo failed. ${plain ? (error as Error).message : (error as Error).stack}\n\n`);
}

let interrupted = false;

async function main(): Promise<number> {
  const options = readOptions(process.argv.slice(2));
  if (options === undefined) {
    process.stdout.write(`${usage}\n`);
    return 0;
  }
  const folder = join(process.env['SKIPLEASE_DATA_DIR'] || './data', 'demo');
  const fleet = new Fleet(relative('.', folder) || '.');
  const interrupt = (): void => {
    if (interrupted) return;
    interrupted = true;
    process.stdout.write('\n  Interrupted: ending the processes of the demo.\n');
    void fleet.stopAll().finally(() => process.exit(130));
  };
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, interrupt);
  // Nobody reads any more (`| head`, a closed terminal): the processes must not outlive that either.
  process.stdout.on('error', interrupt);
  try {
    return (await play(options, fleet)) ? 0 : 1;
  } finally {
    await fleet.stopAll();
  }
}

try {
  process.exitCode = await main();
} catch (error) {
  // Whoever interrupted it knows why it did not end.
  if (!interrupted) tellError(error);
  process.exitCode = interrupted ? 130 : 1;
}
