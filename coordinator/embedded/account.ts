import { stat } from 'node:fs/promises';
import { EmbeddedPostgresError } from './errors.ts';
import { run } from './run.ts';

/** Who the server runs as, when that is not who we are. */
export interface Account {
  userId: number;
  groupId: number;
}

/**
 * In the order of preference. `postgres` is there where a PostgreSQL was ever installed, `_postgres` on macOS, and
 * `nobody` everywhere. No account is ever created: that would outlive the project on the machine.
 */
const CANDIDATES = ['postgres', '_postgres', 'nobody'];

/**
 * PostgreSQL refuses to run as root. As root, this finds an account for it: the owner of the data, if there is data
 * (so that root and an ordinary user may take turns), else the first candidate that exists. For an ordinary user
 * undefined: the server runs as that user.
 */
export async function accountForServer(postgresFolder: string): Promise<Account | undefined> {
  if (process.getuid?.() !== 0) return undefined;
  const existing = await stat(postgresFolder).catch(() => undefined);
  if (existing !== undefined && existing.uid !== 0) return { userId: existing.uid, groupId: existing.gid };
  for (const name of CANDIDATES) {
    const account = await lookUp(name);
    if (account !== undefined) return account;
  }
  throw new EmbeddedPostgresError(
    'START_FAILED',
    `PostgreSQL does not run as root, and none of the users ${CANDIDATES.join(', ')} exists on this machine. ` +
      'Start as an ordinary user, or set DATABASE_URL.',
  );
}

async function lookUp(name: string): Promise<Account | undefined> {
  try {
    const [user, group] = await Promise.all([run('id', ['-u', name]), run('id', ['-g', name])]);
    // macOS prints nobody's -2 as an unsigned number; spawn() wants it signed.
    return { userId: Number(user) | 0, groupId: Number(group) | 0 };
  } catch {
    return undefined;
  }
}

/**
 * The options for every program that is started for the server: its account; a folder that any account can enter
 * (the clone may not be one); and an environment of nothing but what is listed, so that no locale, PGDATA or
 * PGOPTIONS of the caller leaks in.
 */
export function spawnOptionsFor(account: Account | undefined): {
  cwd: string;
  env: Record<string, string>;
  uid?: number;
  gid?: number;
} {
  const options = { cwd: '/', env: { PATH: '/usr/bin:/bin:/usr/sbin:/sbin', LC_ALL: 'C', TZ: 'UTC' } };
  return account === undefined ? options : { ...options, uid: account.userId, gid: account.groupId };
}
