import { randomUUID } from 'node:crypto';
import { access, rename, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { testRunFolder } from './run_folder.ts';

/** Where Debian and its kin keep it, by the names that Node gives to architectures. */
const TRIPLES: Partial<Record<NodeJS.Architecture, string>> = { x64: 'x86_64-linux-gnu', arm64: 'aarch64-linux-gnu' };

/** libfaketime's library, where it is installed. */
export async function findFakeTime(): Promise<string | undefined> {
  const path = `/usr/lib/${TRIPLES[process.arch]}/faketime/libfaketime.so.1`;
  return access(path).then(() => path, () => undefined);
}

/** A wall clock for processes that are started with its environment, and for them alone; the machine's is never touched. */
export interface WallClock {
  environment: Record<string, string>;
  /** From now on it is so far ahead of the machine's, or behind. A second later at the most it is known to all. */
  set(aheadSeconds: number): Promise<void>;
}

export async function makeWallClock(library: string): Promise<WallClock> {
  const file = join(await testRunFolder(), `wall-clock-${randomUUID()}`);
  const set = async (aheadSeconds: number): Promise<void> => {
    await writeFile(`${file}.draft`, `${aheadSeconds < 0 ? '-' : '+'}${Math.abs(aheadSeconds)}\n`);
    await rename(`${file}.draft`, file);
  };
  await set(0);
  return {
    set,
    environment: {
      LD_PRELOAD: library,
      FAKETIME_TIMESTAMP_FILE: file,
      FAKETIME_CACHE_DURATION: '1',
      // As in a machine whose clock is set: what counts seconds since the boot knows nothing of it.
      FAKETIME_DONT_FAKE_MONOTONIC: '1',
    },
  };
}
