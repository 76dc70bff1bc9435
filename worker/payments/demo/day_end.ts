/**
 * The second act: what the operators of a day's end do. A batch is watched; what was planned by mistake is called off; what is
 * submitted twice is there once; what failed while a bank was away is driven again when it is back.
 */
import type pg from 'pg';
import { BatchClient, JobClient, newJobId, type BatchSnapshot } from '../../index.ts';
import type { Invariant } from '../invariants.ts';
import { ledgerPool } from '../ledger.ts';
import {
  badBankCount, closedCount, closeType, holdType, mailType, merchantCount, statementJobs, statementWorker, writeType, type World,
} from './statements.ts';
import * as tell from './tell.ts';

const connectionsMax = 4;
const redrivePerSecond = 100;
const deadlineMs = 60_000;
const lookIntervalMs = 20;

interface DayEnd {
  jobs: JobClient;
  batches: BatchClient;
  client: pg.Client;
  run: string;
  queue: string;
  world: World;
  say: (text: string) => void;
}

/** Plays it, and tells what must hold afterwards. */
export async function endTheDay({ address, databaseUrl, client, run, queue, say }: {
  address: string; databaseUrl: string; client: pg.Client; run: string; queue: string; say: (text: string) => void;
}): Promise<Invariant[]> {
  const world: World = { bankIsUp: false, mailed: [], closed: [] };
  const jobs = new JobClient({ addresses: [address] });
  const batches = new BatchClient({ addresses: [address] });
  const pool = ledgerPool(databaseUrl, connectionsMax);
  const worker = statementWorker(address, queue, pool, world);
  const running = worker.run();
  try {
    return await play({ jobs, batches, client, run, queue, world, say });
  } finally {
    await worker.stop();
    await running;
    await pool.end();
    batches.disconnect();
    jobs.close();
  }
}

async function play(day: DayEnd): Promise<Invariant[]> {
  const { jobs, batches, run, queue, world, say } = day;
  const { id: batchId } = await batches.create({ label: `day's end of ${run}`, followUp: { queue, type: closeType } });
  const plan = () => [...statementJobs(run, queue, batchId)];
  await jobs.submitMany(plan());
  const again = await jobs.submitMany(plan().slice(0, merchantCount).map((job) => ({ ...job, id: newJobId() })));
  const cancelled = await jobs.cancelAll({ queue, type: holdType }, 'the merchant has left');
  await batches.close(batchId);
  const batch = await finished(batches, batchId);
  say(tell.dayEnd(batch.counts, again.filter(({ existing }) => existing).length));

  world.bankIsUp = true;
  const failed = { queue, type: writeType, errorCode: 'BANK_UNAVAILABLE' };
  const retried = await jobs.retryAll(failed, { jobsPerSecond: redrivePerSecond });
  const twice = await jobs.retryAll(failed);
  await until(() => world.mailed.length >= merchantCount && world.closed.length > 0);
  say(tell.redriven(retried, redrivePerSecond));
  return invariants(day, { batch, existing: again.filter(({ existing }) => existing).length, cancelled, retried, twice });
}

/** Watches the batch to its end. */
async function finished(batches: BatchClient, batchId: string): Promise<BatchSnapshot> {
  for await (const batch of batches.watch(batchId)) {
    if (batch.state === 'FINISHED') return batch;
  }
  throw new Error('The watch of the batch ended before the batch did.');
}

async function invariants(
  { client, run, queue, world }: DayEnd,
  { batch, existing, cancelled, retried, twice }: { batch: BatchSnapshot; existing: number; cancelled: number; retried: number; twice: number },
): Promise<Invariant[]> {
  const { total, succeeded, failed, cancelled: called } = batch.counts;
  const { rows } = await client.query<{ statements: number; mails: number }>(
    `select (select count(*) from ledger.statement where run = $1)::int as statements,
            (select count(*) from skiplease.job j join skiplease.queue q on q.id = j.queue_id where q.name = $2 and j.type = $3)::int as mails`,
    [run, queue, mailType]);
  const { statements, mails } = rows[0]!;
  const headers = world.closed[0] ?? {};
  return [
    holds('a day that is ended twice has each statement once', `${existing} of ${merchantCount} were there`, existing === merchantCount),
    holds('the batch counted each job once', `${total} = ${succeeded} + ${failed} + ${called}`,
      total === merchantCount + closedCount && succeeded === merchantCount - badBankCount && failed === badBankCount
        && called === closedCount && cancelled === closedCount),
    holds('its follow-up came once, and was told the counts', tell.plural(world.closed.length, 'job'),
      world.closed.length === 1 && headers['skiplease-batch-failed'] === String(badBankCount) && headers['skiplease-batch-total'] === String(total)),
    holds('what failed was driven again, once', tell.plural(retried + twice, 'job'), retried === badBankCount && twice === 0),
    holds('each statement was written, and mailed, once', tell.plural(statements, 'statement'),
      statements === merchantCount && mails === merchantCount && new Set(world.mailed).size === merchantCount && world.mailed.length === merchantCount),
  ];
}

function holds(title: string, measure: string, held: boolean): Invariant {
  return { title, held, measure, culprits: [] };
}

async function until(condition: () => boolean): Promise<void> {
  const deadline = performance.now() + deadlineMs;
  while (!condition()) {
    if (performance.now() > deadline) throw new Error(`The day has not ended within ${deadlineMs / 1000} s.`);
    await new Promise((resolve) => {
      setTimeout(resolve, lookIntervalMs);
    });
  }
}
