import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';

/** The folder that has its own package.json and package-lock.json. */
export const PEERS_FOLDER = import.meta.dirname;

/**
 * Installs the peers from their lock file unless exactly those versions are there. They are no dependencies of the
 * project: whoever does not run the benchmark never fetches them.
 */
export async function installPeers(say: (line: string) => void): Promise<void> {
  if (isInstalled()) return;
  say('installing the peers (npm install in test/bench/peers)');
  // Settings of the npm that runs this script (its prefix, its workspace) must not reach the one that it starts.
  const environment = Object.fromEntries(Object.entries(process.env).filter(([name]) => !/^npm_/i.test(name)));
  // Not `npm ci`: it refuses a lock file without the optional packages of other platforms, and a registry may lack those.
  const child = spawn('npm', ['install', '--no-save', '--no-audit', '--no-fund'], {
    cwd: PEERS_FOLDER,
    env: environment,
    stdio: ['ignore', 'ignore', 'inherit'],
  });
  const [code] = (await once(child, 'exit')) as [number | null];
  if (code !== 0) throw new Error(`npm install in test/bench/peers ended with ${code}: the peers cannot be measured`);
}

/** The installed version of a peer. */
export function peerVersion(name: string): string {
  const text = readFileSync(join(PEERS_FOLDER, 'node_modules', name, 'package.json'), 'utf8');
  return (JSON.parse(text) as { version: string }).version;
}

function isInstalled(): boolean {
  const { dependencies } = JSON.parse(readFileSync(join(PEERS_FOLDER, 'package.json'), 'utf8')) as {
    dependencies: Record<string, string>;
  };
  return Object.entries(dependencies).every(
    ([name, version]) =>
      existsSync(join(PEERS_FOLDER, 'node_modules', name, 'package.json')) && peerVersion(name) === version,
  );
}
