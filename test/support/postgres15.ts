import { access } from 'node:fs/promises';
import { join } from 'node:path';
import type { EmbeddedPostgres } from '../../coordinator/embedded/index.ts';
import { startPrivateServer, type PrivateServerOptions } from './private_server.ts';

/** Where Debian's packages put PostgreSQL 15, the oldest version that is supported. */
export const POSTGRES_15_BINARIES = '/usr/lib/postgresql/15/bin';

/** True where PostgreSQL 15 is installed. */
export function hasPostgres15(): Promise<boolean> {
  return access(join(POSTGRES_15_BINARIES, 'postgres')).then(() => true, () => false);
}

/** A PostgreSQL 15 for one test alone, started with the same code as the embedded one. */
export function startPostgres15(options: Omit<PrivateServerOptions, 'binariesFolder'> = {}): Promise<EmbeddedPostgres> {
  return startPrivateServer({ ...options, binariesFolder: POSTGRES_15_BINARIES });
}
