import { Logger } from 'graphile-worker';
import type { Pool } from 'pg';

/** Errors to stderr, nothing else: a line for each job would be what is measured. */
export const quietLogger = new Logger(() => (level, message) => {
  if (level === 'error') process.stderr.write(`graphile-worker: ${message}\n`);
});

/** A lost connection is an error of the run; graphile-worker wants to see somebody listen for it. */
export function onPoolError(pool: Pool): void {
  const complain = (error: Error) => process.stderr.write(`graphile-worker: ${error.message}\n`);
  pool.on('error', complain);
  pool.on('connect', (client) => client.on('error', complain));
}
