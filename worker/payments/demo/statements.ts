/** The day's end: a statement for each merchant, written and completed in one transaction, and mailed by a job that follows. */
import type pg from 'pg';
import { pino } from 'pino';
import { PermanentError, Worker, type Job, type JobContext, type NewJob } from '../../index.ts';

export const writeType = 'statement.write';
export const holdType = 'statement.hold';
export const mailType = 'statement.mail';
export const closeType = 'day.close';

export const merchantCount = 200;
/** Merchants that have left: their statements were planned, and are called off. */
export const closedCount = 20;
/** Every so manyth merchant's bank does not answer at first. */
const badBankEvery = 10;
export const badBankCount = merchantCount / badBankEvery;
const planMs = 3_600_000;

interface Statement {
  run: string;
  merchant: number;
}

/** What the bank, the post and the books have seen: what the jobs are compared with. */
export interface World {
  bankIsUp: boolean;
  mailed: number[];
  /** Headers of the job that closes the day, as often as it came. */
  closed: Record<string, string>[];
}

/** A job for each merchant; one more for each that has left, planned for later. */
export function* statementJobs(run: string, queue: string, batchId: string): Generator<NewJob> {
  for (let merchant = 1; merchant <= merchantCount; merchant += 1) {
    yield {
      queue, type: writeType, payload: { run, merchant } satisfies Statement, batchId, maxAttempts: 1,
      // However often the day is ended: one statement each.
      unique: { key: `${run} ${merchant}`, scope: 'QUEUE_AND_TYPE', lifetimeMs: planMs },
    };
  }
  for (let merchant = 1; merchant <= closedCount; merchant += 1) {
    yield { queue, type: holdType, payload: { run, merchant: merchantCount + merchant } satisfies Statement, batchId, delayMs: planMs };
  }
}

/** A worker in this process. The ledger is its database. */
export function statementWorker(address: string, queue: string, database: pg.Pool, world: World): Worker {
  const write = (job: Job, context: JobContext): Promise<object> => {
    const { run, merchant } = job.json<Statement>();
    context.progress(50, 'adding up');
    return context.transaction(async (client) => {
      if (!world.bankIsUp && merchant % badBankEvery === 0) throw new PermanentError('BANK_UNAVAILABLE', 'the bank does not answer');
      await client.query('insert into ledger.statement (run, merchant, job_id) values ($1, $2, $3)', [run, merchant, job.id]);
      // Committed with the statement and the job's completion, or not at all.
      context.followUp({ queue, type: mailType, payload: { run, merchant } satisfies Statement });
      return { merchant };
    });
  };
  return new Worker({
    addresses: [address],
    queues: [queue],
    concurrency: 16,
    database,
    handleSignals: false,
    // It speaks through the demo.
    logger: pino({ level: 'silent' }),
    handlers: {
      [writeType]: write,
      [mailType]: (job) => void world.mailed.push(job.json<Statement>().merchant),
      [closeType]: (job) => void world.closed.push(job.headers),
    },
  });
}
