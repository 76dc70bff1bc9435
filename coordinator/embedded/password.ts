import { spawn } from 'node:child_process';
import { join } from 'node:path';
import { spawnOptionsFor, type Account } from './account.ts';
import type { Binaries } from './binaries.ts';
import { ROLE } from './initialise.ts';
import { EmbeddedPostgresError } from './errors.ts';

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
  const child = spawn(join(binaries.folder, 'postgres'), ['--single', '-D', postgresFolder, 'postgres'], {
    ...spawnOptionsFor(account),
    detached: true,
    stdio: ['pipe', 'ignore', 'pipe'],
  });
  let complaint = '';
  child.stderr.on('data', (chunk: Buffer) => (complaint += chunk.toString('utf8')));
  const ended = new Promise<number | null>((resolve, reject) => {
    child.once('error', reject);
    child.once('exit', resolve);
  });
  // makePassword() gives letters, digits, - and _ only.
  child.stdin.on('error', () => undefined);
  child.stdin.end(`ALTER ROLE ${ROLE} PASSWORD '${password}';\n`);
  const code = await ended;
  if (code !== 0 || /ERROR|FATAL/.test(complaint)) {
    throw new EmbeddedPostgresError(
      'START_FAILED',
      `The password of the database in ${postgresFolder} could not be set anew: ${complaint.trim()}`,
    );
  }
}
