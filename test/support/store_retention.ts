import pg from 'pg';
import { systemClock } from '../../coordinator/clock.ts';
import { Retirer } from '../../coordinator/engine/retirer.ts';
import { createMetrics } from '../../coordinator/observe/metrics.ts';
import { listPartitions, type Partition } from '../../coordinator/store/partitions.ts';
import type { Retirement } from '../../coordinator/store/retire.ts';
import { Store } from '../../coordinator/store/store.ts';
import type { Retention } from '../../coordinator/types.ts';
import { keepLog, type KeptLog, type StoreWorld } from './store_world.ts';

/** Moves the database's clock ahead, and makes the partitions that are needed then. */
export async function letDaysPass(world: StoreWorld, store: Store, days: number): Promise<void> {
  await world.rows(`update skiplease.clock set "offset" = "offset" + make_interval(secs => $1)`, [days * 86_400]);
  await store.ensurePartitions();
}

export async function databaseNowMs(world: StoreWorld): Promise<number> {
  return Number(await world.value<string>('select extract(epoch from skiplease.now()) * 1000'));
}

/** A coordinator's dropping of partitions, and what it logged. */
export interface TestRetirer {
  store: Store;
  log: KeptLog;
  /** One look, to its end. */
  run(): Promise<void>;
  /** What it has dropped, time after time. */
  dropped(): { partitions: string[]; jobs_carried_over: number; bytes_returned: number }[];
  metrics: ReturnType<typeof createMetrics>;
  stop(): Promise<void>;
}

export function startRetirer(databaseUrl: string, retention: Retention): TestRetirer {
  const log = keepLog();
  const store = new Store(databaseUrl, log, () => {}, retention);
  const metrics = createMetrics();
  const retirer = new Retirer({ store, metrics, clock: systemClock, databaseNowMs: () => Date.now() });
  return {
    store,
    log,
    metrics,
    run: () => retirer.run(),
    dropped: () => log.lines.filter(({ fields }) => fields.event === 'partitions_dropped').map(({ fields }) => fields as never),
    stop: async () => {
      await retirer.close();
      await store.close();
    },
  };
}

/** Until it has looked at all. Returns how many stay. */
export async function carryOverAll(retirement: Retirement): Promise<number> {
  let jobs = 0;
  for (;;) {
    const step = await retirement.carryOver(7);
    jobs += step!.jobs;
    if (step!.done) return jobs;
  }
}

export async function partitionsOf(world: StoreWorld, table = 'job'): Promise<Partition[]> {
  const client = new pg.Client({ connectionString: world.url });
  await client.connect();
  try {
    return (await listPartitions(client)).filter((partition) => partition.table === table);
  } finally {
    await client.end();
  }
}
