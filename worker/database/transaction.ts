import type { HeldJob } from '../lease/held_job.ts';
import { failedOutcome, succeededOutcome } from '../lease/outcome_wire.ts';
import { outcomeOfError, outcomeOfResult } from '../run/outcome.ts';
import type { DatabaseClient, DatabasePool } from './pool.ts';
import { checkLease, endOf } from './statements.ts';

/**
 * Does the work of one job and ends the job, in one transaction: both are committed, or neither. An error that `work`
 * throws rolls everything back; one that it returns fails the job, and what it wrote stays.
 */
export async function endInTransaction<Result>(
  pool: DatabasePool, held: HeldJob, work: (client: DatabaseClient) => Promise<Result>,
): Promise<Result> {
  refuseSecond(held);
  return inTransaction(pool, async (client) => {
    await client.query(`begin; ${checkLease(held.lease.token, held.wire.id)}`);
    const result = await work(client);
    throwIfGone(held);
    await client.query(`${endOfJob(held, result)}; commit`);
    markEnded(held, result);
    return result;
  });
}

/**
 * The same for many jobs of one lease: one transaction, and each job behind a savepoint. What one of them throws takes
 * its own effects back, and nothing of its neighbours'. By job id: what became of each, as a batch handler returns it.
 */
export async function endEachInTransaction<Job extends { id: string }>(
  pool: DatabasePool, batch: readonly { held: HeldJob; job: Job }[], work: (client: DatabaseClient, job: Job) => Promise<unknown>,
): Promise<Map<string, unknown>> {
  const outcomes = new Map<string, unknown>();
  const ended: { held: HeldJob; result: unknown }[] = [];
  if (batch.length === 0) return outcomes;
  for (const { held } of batch) refuseSecond(held);
  await inTransaction(pool, async (client) => {
    await client.query(`begin; ${checkLease(batch[0]!.held.lease.token)}; savepoint skiplease_job`);
    for (const { held, job } of batch) {
      try {
        // Whatever the reason: what has not begun need not begin.
        if (held.abortReason !== undefined) throw held.abortReason;
        const result = await work(client, job);
        throwIfGone(held);
        // What it wrote is the transaction's now, and the next job gets a savepoint of its own, in the same round trip.
        await client.query(`${endOfJob(held, result)}; release savepoint skiplease_job; savepoint skiplease_job`);
        outcomes.set(job.id, result);
        ended.push({ held, result });
      } catch (error) {
        await client.query('rollback to savepoint skiplease_job');
        outcomes.set(job.id, error instanceof Error ? error : new Error(String(error)));
      }
    }
    await client.query('commit');
    for (const { held, result } of ended) markEnded(held, result);
  });
  return outcomes;
}

/**
 * When `work` throws, nothing of the transaction stays, save for one case: a COMMIT whose answer was lost. The attempt is
 * reported failed then as well: should the commit have come through, the job's outcome is there, and the report is a duplicate.
 */
async function inTransaction<Result>(pool: DatabasePool, work: (client: DatabaseClient) => Promise<Result>): Promise<Result> {
  const client = await pool.connect();
  client.on?.('error', laterQueriesTell);
  try {
    const result = await work(client);
    client.release();
    return result;
  } catch (error) {
    const broken = await client.query('rollback').then(() => false, () => true);
    client.release(broken);
    throw error;
  } finally {
    client.off?.('error', laterQueriesTell);
  }
}

/** The connection broke while `work` was about something else: its next query fails, and so does the end of the transaction. */
function laterQueriesTell(): void {}

function endOfJob(held: HeldJob, result: unknown): string {
  const outcome = result instanceof Error ? outcomeOfError(held, result) : outcomeOfResult(held, result);
  return endOf(held.lease.token, outcome, held.followUps);
}

/** It is reported all the same, which makes room for the next; the database has its result. */
function markEnded(held: HeldJob, result: unknown): void {
  const { id } = held.wire;
  held.ended = result instanceof Error ? failedOutcome(id, { code: result.name, message: result.message, details: '' }) : succeededOutcome(id, undefined);
}

function refuseSecond(held: HeldJob): void {
  if (held.ended !== undefined) throw new Error(`the job ${held.wire.id} was ended before, by an earlier transaction`);
}

/** Cancelled, or its lease was lost: whatever is done for it would be refused at its end. */
function throwIfGone(held: HeldJob): void {
  if (held.phase === 'gone') throw held.abortReason as Error;
}
