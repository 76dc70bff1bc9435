import { join } from 'node:path';
import { spawnOptionsFor, type Account } from './account.ts';
import type { Binaries } from './binaries.ts';
import { EmbeddedPostgresError } from './errors.ts';
import { ROLE } from './initialise.ts';
import { run, RunError } from './run.ts';
import { READY_DEADLINE_MS } from './server.ts';

/**
 * Gives the stopped cluster a new password, in PostgreSQL's single-user mode, which asks for none. Needed when the
 * file with the connection URL was deleted or cannot be read: the data is worth more than the file.
 */
export async function resetPassword(
  postgresFolder: string,
  password: string,
  binaries: Binaries,
  account: Account | undefined,
): Promise<void> {
  // Stops at the first error. makePassword() gives letters, digits, - and _ only.
  const parameters = ['--single', '-j', '-c', 'exit_on_error=on', '-D', postgresFolder, 'postgres'];
  try {
    await run(join(binaries.folder, 'postgres'), parameters, {
      ...spawnOptionsFor(account),
      deadlineMs: READY_DEADLINE_MS,
      input: `ALTER ROLE ${ROLE} PASSWORD '${password}';\n\n`,
    });
  } catch (error) {
    const why = (error instanceof RunError && error.stderr) || (error as Error).message;
    throw new EmbeddedPostgresError('START_FAILED', `The password of ${postgresFolder} could not be set anew: ${why}`, error);
  }
}
