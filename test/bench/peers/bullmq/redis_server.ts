import { spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { createServer, type AddressInfo } from 'node:net';
import { join } from 'node:path';
import { startProcess } from '../../../support/processes.ts';
import { testRunFolder } from '../../../support/run_folder.ts';
import type { AppendFsync } from './preset.ts';

const READY_DEADLINE_MS = 10_000;

/** What `redis-server --version` says; `undefined` where there is none. */
function versionText(): string | undefined {
  const { status, stdout } = spawnSync('redis-server', ['--version'], { encoding: 'utf8' });
  return status === 0 ? stdout : undefined;
}

export function redisIsMissing(): string | undefined {
  return versionText() === undefined ? 'there is no redis-server on this machine' : undefined;
}

export function redisVersion(): string {
  return versionText()?.match(/v=(\S+)/)?.[1] ?? 'unknown';
}

export interface RedisServer {
  url: string;
  pid: number;
  /** Ends it and removes what it stored. */
  discard(): Promise<void>;
}

/** An empty Redis of our own on loopback that keeps a log of every write, and never forgets a key. */
export async function startRedis(appendFsync: AppendFsync): Promise<RedisServer> {
  const folder = await mkdtemp(join(await testRunFolder(), 'redis-'));
  const port = await freePort();
  const settings = {
    bind: '127.0.0.1',
    port: String(port),
    dir: folder,
    appendonly: 'yes',
    appendfsync: appendFsync,
    // No snapshot and no rewriting of the log in the middle of a run: the counterpart of our checkpoints.
    save: '',
    'auto-aof-rewrite-percentage': '0',
    'maxmemory-policy': 'noeviction',
  };
  const parameters = Object.entries(settings).flatMap(([name, value]) => [`--${name}`, value]);
  const running = await startProcess('redis-server', parameters, {});
  const discard = async () => {
    await running.stop();
    await rm(folder, { recursive: true, force: true });
  };
  try {
    await running.line((text) => text.includes('Ready to accept connections'), READY_DEADLINE_MS, 'Redis to be ready');
  } catch (error) {
    await discard();
    throw error;
  }
  return { url: `redis://127.0.0.1:${port}`, pid: running.pid, discard };
}

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  server.close();
  await once(server, 'close');
  return port;
}
