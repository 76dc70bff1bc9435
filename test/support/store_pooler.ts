import { access, chmod, mkdtemp, writeFile } from 'node:fs/promises';
import { createServer, type AddressInfo } from 'node:net';
import { once } from 'node:events';
import { join } from 'node:path';
import { startProcess, type TestProcess } from './processes.ts';
import { testRunFolder } from './run_folder.ts';

/** Where Debian's package puts it. */
const PGBOUNCER = '/usr/sbin/pgbouncer';
/** It refuses to run as root: nobody, by Debian's number. */
const NOBODY_ID = 65_534;

/** True where pgbouncer is installed. */
export function hasPgbouncer(): Promise<boolean> {
  return access(PGBOUNCER).then(() => true, () => false);
}

/** A real pgbouncer in front of the database. */
export async function startPgbouncer(databaseUrl: string, poolMode: 'transaction' | 'session'): Promise<{ url: string; process: TestProcess }> {
  const target = new URL(databaseUrl);
  const port = await freePort();
  const folder = await mkdtemp(join(await testRunFolder(), 'pgbouncer-'));
  await chmod(folder, 0o755);
  const file = join(folder, 'pgbouncer.ini');
  await writeFile(file, [
    '[databases]',
    `* = host=${target.hostname} port=${target.port} user=${target.username} password=${decodeURIComponent(target.password)}`,
    '[pgbouncer]', 'listen_addr = 127.0.0.1', `listen_port = ${port}`, 'unix_socket_dir =', 'auth_type = any', `pool_mode = ${poolMode}`,
    'ignore_startup_parameters = extra_float_digits',
  ].join('\n'), { mode: 0o644 });
  const process = await startProcess(PGBOUNCER, [file], globalThis.process.getuid?.() === 0 ? { uid: NOBODY_ID, gid: NOBODY_ID } : {});
  await process.line((text) => text.includes('listening on'), 10_000, 'pgbouncer to listen');
  const url = new URL(databaseUrl);
  url.hostname = '127.0.0.1';
  url.port = String(port);
  return { url: url.href, process };
}

/** A port that was free a moment ago. */
async function freePort(): Promise<number> {
  const server = createServer();
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  server.close();
  await once(server, 'close');
  return port;
}
