import { startPrivateServer } from '../../support/private_server.ts';

/**
 * Laid over the embedded server's settings: none of them touches durability, and all contestants have the same.
 * Checkpoints come when the harness asks for them and not in the middle of one contestant's run; statistics are
 * gathered by autovacuum as seldom as PostgreSQL does by default.
 */
const BENCH_SETTINGS = {
  max_wal_size: '8GB',
  checkpoint_timeout: '1h',
  autovacuum_naptime: '1min',
};

export interface RunningServer {
  adminUrl: string;
  stop(): Promise<void>;
}

/** The server that is given, or an embedded one of our own, in a temporary folder that is gone afterwards. */
export async function startServer(databaseUrl: string | undefined): Promise<RunningServer> {
  if (databaseUrl !== undefined) return { adminUrl: databaseUrl, stop: async () => {} };
  const server = await startPrivateServer({ durable: true, settings: BENCH_SETTINGS });
  return { adminUrl: server.url, stop: () => server.stop() };
}
