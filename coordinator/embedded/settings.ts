/**
 * How the embedded server is set, for a queue on a small machine. Durability is PostgreSQL's default: fsync,
 * full_page_writes and synchronous_commit are on, and nothing here touches them.
 */
export const DEFAULT_SETTINGS: Readonly<Record<string, string>> = {
  // Nothing but this machine, over TCP with a password; no socket, whose folder would be one more thing to reach.
  listen_addresses: '127.0.0.1',
  unix_socket_directories: '',
  password_encryption: 'scram-sha-256',

  // The hot tables of a queue are small and new: this much holds them, with room for workers' own tables.
  shared_buffers: '256MB',
  // A flood writes about 1 kB of WAL a job; with the 1 GB default it would checkpoint twice a minute.
  max_wal_size: '2GB',
  min_wal_size: '256MB',
  checkpoint_timeout: '15min',
  // These binaries know pglz only. It shrinks the full pages after a checkpoint, nothing else.
  wal_compression: 'pglz',

  // A coordinator uses few connections; workers whose data lives here bring their own.
  max_connections: '200',
  // Statements here are short; compiling them never pays.
  jit: 'off',
  // The data sits on a solid-state disk or in memory.
  random_page_cost: '1.1',
  // `ready` and `lease` die young: look at them often.
  autovacuum_naptime: '15s',

  // Counts statements for the benchmarks and for whoever looks for a slow one.
  shared_preload_libraries: 'pg_stat_statements',
  'pg_stat_statements.track_utility': 'on',

  timezone: 'UTC',
  log_timezone: 'UTC',
  log_line_prefix: '%m [%p] %u@%d ',
};

/** Settings as the arguments of `postgres`. They stand there rather than in a file, so that a start always has its own. */
export function settingArguments(settings: Readonly<Record<string, string>>): string[] {
  return Object.entries(settings).flatMap(([name, value]) => ['-c', `${name}=${value}`]);
}
