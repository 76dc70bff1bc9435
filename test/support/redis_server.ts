import { spawnSync } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { freePort } from './free_port.ts';
import { startProcess } from './processes.ts';
import { testRunFolder } from './run_folder.ts';

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
  kill(signal: NodeJS.Signals): void;
  /** Ends at once, as in a crash, if it has not yet, and comes back on the same port. */
  restart(): Promise<void>;
  /** Ends it and removes what it stored. */
  discard(): Promise<void>;
}

/** An empty Redis of our own on loopback, with settings of redis.conf. It takes no snapshots. */
export async function startRedis(settings: Record<string, string> = {}): Promise<RedisServer> {
  const folder = await mkdtemp(join(await testRunFolder(), 'redis-'));
  const port = String(await freePort());
  const given = Object.entries({ bind: '127.0.0.1', port, dir: folder, save: '', ...settings });
  const start = async () => {
    const running = await startProcess('redis-server', given.flatMap(([name, value]) => [`--${name}`, value]), {});
    try {
      await running.line((text) => text.includes('Ready to accept connections'), READY_DEADLINE_MS, 'Redis to be ready');
      return running;
    } catch (error) {
      await running.stop();
      throw error;
    }
  };
  const clear = () => rm(folder, { recursive: true, force: true });
  let running = await start().catch(async (error: Error) => {
    await clear();
    throw error;
  });
  return {
    url: `redis://127.0.0.1:${port}`,
    get pid() {
      return running.pid;
    },
    kill: (signal) => running.kill(signal),
    restart: async () => {
      running.kill('SIGKILL');
      await running.exited;
      running = await start();
    },
    discard: async () => {
      running.kill('SIGCONT');
      await running.stop();
      await clear();
    },
  };
}
