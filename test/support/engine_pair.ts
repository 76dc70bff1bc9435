import pg from 'pg';
import { openPool, type Pool } from '../../coordinator/store/pool.ts';
import { startEngine, type TestEngine } from './store_engine.ts';
import { StoreWorld } from './store_world.ts';

/** Two coordinators' engines on a database of a test file's own. Leases run out when a test says so, and not by themselves. */
export interface EnginePair {
  world: StoreWorld;
  /** What a coordinator's services use. */
  pool: Pool;
  /** Connections of an application that settles jobs in SQL. */
  applications: pg.Pool;
  engines: TestEngine[];
  close(): Promise<void>;
}

export async function openEnginePair({ tickMs }: { tickMs: number }): Promise<EnginePair> {
  const world = await StoreWorld.open();
  const pool = await openPool(world.url);
  const applications = new pg.Pool({ connectionString: world.url, max: 4 });
  const engines = await Promise.all([1, 2].map(() => startEngine(world.url, { leaseTtlMs: 60_000, tickMs })));
  const close = async (): Promise<void> => {
    await Promise.all([...engines.map((engine) => engine.stop()), pool.end(), applications.end()]);
    await world.close();
  };
  return { world, pool, applications, engines, close };
}
