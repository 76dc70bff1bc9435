import { heapInserts } from '../database/heap_inserts.ts';
import { startMeter } from '../database/meter.ts';
import { withAdmin } from '../database/server.ts';
import type { StatementCount } from '../database/statement_log.ts';
import { walPosition, type WalUse } from '../database/write_ahead_log.ts';
import { isExact, type Delivery } from '../measure/tally.ts';
import { skiplease } from '../skiplease/contestant.ts';
import type { BenchContext } from './context.ts';
import { waitFor } from './wait_for.ts';

/** Jobs that are submitted to an idle worker with room for all of them. */
export const HANDED_OFF_JOBS = 1_000;

const DEADLINE_MS = 30_000;

/** What it costs to hand jobs straight to a worker that waits for them. */
export interface HandOffResult {
  delivery: Delivery;
  exact: boolean;
  /** Rows written to each of these tables, from the write-ahead log. */
  inserts: Record<'job' | 'ready' | 'lease' | 'outcome', number>;
  statements: StatementCount[];
  wal: WalUse;
}

/** A worker waits with an open window; 1,000 jobs are submitted; the tables that they went through are read. */
export async function handOffWrites(context: BenchContext): Promise<HandOffResult> {
  const { server, options } = context;
  const { payloadBytes } = options;
  const database = await server.createDatabase('hand_off');
  try {
    const { submitter, worker, stop } = await skiplease.launch(database.contestantUrl, 'flood');
    try {
      // One job first: it brings the queue into being, and with it the worker's place in it.
      await worker.call('expect', { first: 0, count: 1 });
      await worker.call('start');
      await submitter.call('submit', { first: 0, count: 1, payloadBytes });
      await worker.call('finished', { deadlineMs: DEADLINE_MS });
      await waitFor('the lease to be gone', DEADLINE_MS, async () => {
        const { rows } = await withAdmin(database, (client) =>
          client.query<{ held: number }>(
            'SELECT count(*)::int AS held FROM skiplease.lease WHERE bit_count(settled) < length(settled)',
          ),
        );
        return rows[0]!.held === 0 || undefined;
      });

      await worker.call('expect', { first: 1, count: HANDED_OFF_JOBS });
      const from = await walPosition(server.admin);
      const stopMeter = await startMeter(server.admin, database.name);
      await submitter.call('submit', { first: 1, count: HANDED_OFF_JOBS, payloadBytes });
      await worker.call('finished', { deadlineMs: DEADLINE_MS });
      const { statements, wal } = await stopMeter();
      const range = [from, await walPosition(server.admin)] as const;
      await worker.call('stop');
      const delivery = await worker.call('delivery');
      await submitter.call('close');

      const partitions = await withAdmin(database, partitionsOf);
      const inserts = { job: 0, ready: 0, lease: 0, outcome: 0 };
      for (const { root, table } of partitions) {
        inserts[root] += await heapInserts(server.admin, database, table, range);
      }
      return { delivery, exact: isExact(delivery), inserts, statements, wal };
    } finally {
      await stop();
    }
  } finally {
    await server.dropDatabase(database);
  }
}

type Root = keyof HandOffResult['inserts'];

async function partitionsOf(client: { query(text: string): Promise<{ rows: unknown[] }> }) {
  const { rows } = await client.query(
    `SELECT root, relid::text AS "table" FROM unnest(array['job', 'ready', 'lease', 'outcome']) AS root,
            LATERAL pg_partition_tree(('skiplease.' || root)::regclass) WHERE isleaf
      UNION ALL
     SELECT root, 'skiplease.' || root FROM unnest(array['job', 'ready', 'lease', 'outcome']) AS root
      WHERE NOT EXISTS (SELECT FROM pg_partition_tree(('skiplease.' || root)::regclass))`,
  );
  return rows as { root: Root; table: string }[];
}
