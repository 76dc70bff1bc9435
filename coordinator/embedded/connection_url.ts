import { randomBytes, randomUUID } from 'node:crypto';
import { chown, readFile, rename, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { ROLE } from './initialise.ts';

/** The database that the coordinator uses; made at the first start. */
export const DATABASE = 'skiplease';

const URL_FILE = 'database_url';

/** Where the connection URL is written: the one place that holds the password, readable by its owner alone. */
export function connectionUrlFile(dataFolder: string): string {
  return join(dataFolder, URL_FILE);
}

/** 24 random bytes, in letters that need no escaping in a URL. */
export function makePassword(): string {
  return randomBytes(24).toString('base64url');
}

/** The connection URL of a database of the embedded server. */
export function connectionUrl(password: string, port: number, database = DATABASE): string {
  return `postgres://${ROLE}:${password}@127.0.0.1:${port}/${database}`;
}

/** What the last start wrote; undefined when there is nothing that can be read and understood. */
export async function readConnectionUrl(dataFolder: string): Promise<{ password: string; port: number } | undefined> {
  const text = await readFile(connectionUrlFile(dataFolder), 'utf8').catch(() => '');
  const url = URL.parse(text.trim());
  const port = Number(url?.port);
  return url && url.password !== '' && port > 0 ? { password: url.password, port } : undefined;
}

/** Written beside and moved into place: a reader sees the old URL or the new one, never half of one. */
export async function writeConnectionUrl(dataFolder: string, url: string): Promise<void> {
  const draft = join(dataFolder, `.${URL_FILE}.${randomUUID()}`);
  await writeFile(draft, `${url}\n`, { mode: 0o600, flag: 'wx' });
  if (process.getuid?.() === 0) {
    // Root and the folder's owner may take turns.
    const owner = await stat(dataFolder);
    await chown(draft, owner.uid, owner.gid);
  }
  await rename(draft, connectionUrlFile(dataFolder));
}
