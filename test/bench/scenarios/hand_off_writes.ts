import { startMeter } from '../database/meter.ts';
import { jobInserts, type JobInserts } from '../database/row_counts.ts';
import { withAdmin, type BenchDatabase } from '../database/server.ts';
import type { StatementCount } from '../database/statement_log.ts';
import { walPosition, type WalUse } from '../database/write_ahead_log.ts';
import type { Launched } from '../contestant.ts';
import { isExact, type Delivery } from '../measure/tally.ts';
import { skiplease } from '../skiplease/contestant.ts';
import type { BenchContext } from './context.ts';
import { waitFor } from './wait_for.ts';

/** Jobs that are submitted to an idle worker with room for all of them. */
export const HANDED_OFF_JOBS = 1_000;

/**
 * The coordinator hands off only what comes while it knows that nothing waits. A few times a second it looks back for
 * late commits, and what arrives during such a look goes through `ready`: then the thousand is submitted once more.
 */
const TRIES_MAX = 5;
const DEADLINE_MS = 30_000;

/** What it costs to hand jobs straight to a worker that waits for them. */
export interface HandOffResult {
  /** Jobs of each try that went through `ready`; the last try is the one that is described. */
  throughReady: number[];
  delivery: Delivery;
  exact: boolean;
  /** Rows written to each of these tables, from the write-ahead log. */
  inserts: JobInserts;
  statements: StatementCount[];
  wal: WalUse;
}

/** A worker waits with an open window; 1,000 jobs are submitted; the tables that they went through are read. */
export async function handOffWrites(context: BenchContext): Promise<HandOffResult> {
  const { server, options } = context;
  const launched = await skiplease.launch(server, 'flood');
  try {
    await launched.worker.call('start');
    // One job first: it brings the queue into being, and with it the worker's place in it.
    await submitAndFinish(launched, { first: 0, count: 1, payloadBytes: options.payloadBytes });
    const throughReady: number[] = [];
    for (let first = 1; ; first += HANDED_OFF_JOBS) {
      await noLeaseHeld(launched.database!);
      const result = await handOffOnce(context, launched.database!, launched, first);
      throughReady.push(result.inserts.ready);
      if (result.inserts.ready > 0 && throughReady.length < TRIES_MAX) continue;
      await launched.worker.call('stop');
      await launched.submitter.call('close');
      return { ...result, throughReady };
    }
  } finally {
    await launched.discard();
  }
}

async function handOffOnce(
  { server, options }: BenchContext,
  database: BenchDatabase,
  launched: Launched,
  first: number,
): Promise<Omit<HandOffResult, 'throughReady'>> {
  const from = await walPosition(server.admin);
  const stopMeter = await startMeter(server.admin, database.name);
  const order = { first, count: HANDED_OFF_JOBS, payloadBytes: options.payloadBytes };
  const delivery = await submitAndFinish(launched, order);
  const { statements, wal } = await stopMeter();
  const range = [from, await walPosition(server.admin)] as const;
  const inserts = await jobInserts(server.admin, database, range);
  return { delivery, exact: isExact(delivery), inserts, statements, wal };
}

async function submitAndFinish(
  { submitter, worker }: Launched,
  order: { first: number; count: number; payloadBytes: number },
): Promise<Delivery> {
  await worker.call('expect', order);
  await submitter.call('submit', order);
  await worker.call('finished', { deadlineMs: DEADLINE_MS });
  return worker.call('delivery');
}

function noLeaseHeld(database: BenchDatabase): Promise<true> {
  return waitFor('all leases to be settled', DEADLINE_MS, async () => {
    const { rows } = await withAdmin(database, (client) =>
      client.query<{ held: number }>(
        'SELECT count(*)::int AS held FROM skiplease.lease WHERE bit_count(settled) < length(settled)',
      ),
    );
    return rows[0]!.held === 0 || undefined;
  });
}
