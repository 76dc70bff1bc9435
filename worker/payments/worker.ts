/**
 * The example worker: captures payments. `npm run worker` beside `npm start`; several may run at once. Settings are in
 * README.md.
 */
import { hostname } from 'node:os';
import { setTimeout as delay } from 'node:timers/promises';
import { pino } from 'pino';
import { Worker, type Logger } from '../index.ts';
import { stayAlive } from './alive.ts';
import { captureLease, type CaptureContext, type CaptureJob, type CaptureOutcomes } from './handler.ts';
import { ForeignLedgerError, ledgerPool, prepareLedger } from './ledger.ts';
import { InputError, wholeNumber } from './input.ts';
import { captureType, paymentsQueue } from './payment_jobs.ts';
import { coordinatorAddresses, databaseUrlOf, NoDatabaseError, securityOf } from './places.ts';

/** Leases that are captured at once, each in a transaction of its own. */
const concurrency = 2;
const databaseTriesMax = 30;
const databaseRetryMs = 1_000;

/** Waits for the database: it may be started together with this worker. The URL is read anew, since a new start may move it. */
async function openLedger(logger: Logger): Promise<ReturnType<typeof ledgerPool>> {
  for (let tries = 1; ; tries += 1) {
    try {
      const pool = ledgerPool(databaseUrlOf(process.env), concurrency);
      const client = await pool.connect();
      await prepareLedger(client).finally(() => client.release());
      return pool;
    } catch (error) {
      if (error instanceof ForeignLedgerError || tries === databaseTriesMax) throw error;
      logger.warn({ event: 'database_away', error: String(error) }, 'the ledger\'s database cannot be reached yet');
      await delay(databaseRetryMs);
    }
  }
}

/** "captured 93, CARD_DECLINED 5, duplicate 2" */
function summary(outcomes: CaptureOutcomes): string {
  const counts = new Map<string, number>();
  for (const outcome of outcomes.values()) {
    const name = 'outcome' in outcome ? outcome.outcome : 'code' in outcome ? String(outcome.code) : outcome.name;
    counts.set(name, (counts.get(name) ?? 0) + 1);
  }
  return [...counts].toSorted(([, a], [, b]) => b - a).map(([name, count]) => `${name} ${count}`).join(', ');
}

async function main(): Promise<void> {
  const logger = pino({ name: 'payments-worker' });
  const addresses = coordinatorAddresses(process.env);
  const workerId = process.env['SKIPLEASE_WORKER_ID'] || `payments:${hostname()}:${process.pid}`;
  const windowJobs = wholeNumber('SKIPLEASE_WINDOW_JOBS', process.env['SKIPLEASE_WINDOW_JOBS'] || '1000', 1, 100_000);
  const queue = process.env['SKIPLEASE_QUEUE'] || paymentsQueue;
  stayAlive(process.env);
  const pool = await openLedger(logger);
  const capture = captureLease(workerId);
  const handle = async (jobs: readonly CaptureJob[], context: CaptureContext): Promise<CaptureOutcomes> => {
    const started = performance.now();
    const outcomes = await capture(jobs, context);
    const milliseconds = Math.round(performance.now() - started);
    logger.info({ event: 'lease_captured', jobs: jobs.length, milliseconds }, summary(outcomes));
    return outcomes;
  };
  const worker = new Worker({
    addresses,
    queues: [queue],
    batchHandlers: { [captureType]: handle },
    database: pool,
    concurrency,
    window: { jobs: windowJobs },
    workerId,
    logger,
    ...securityOf(process.env),
  });
  if (process.stdout.isTTY) {
    process.stdout.write(`\n  Capturing payments of the queue "${queue}" from ${addresses.join(', ')}. In another terminal:\n`
      + '    npx node worker/payments/submit.ts        submits the 10,000 intents of the example file\n\n');
  }
  await worker.run();
  await pool.end();
}

try {
  await main();
} catch (error) {
  const plain = error instanceof NoDatabaseError || error instanceof ForeignLedgerError || error instanceof InputError;
  process.stderr.write(`${plain ? error.message : (error as Error).stack}\n`);
  process.exitCode = 1;
}
