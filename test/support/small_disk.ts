import { execFile } from 'node:child_process';
import { mkdir, mkdtemp, open, rm, rmdir } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';

const execute = promisify(execFile);
const STEP_BYTES = 1024 * 1024;

/** A small file system of its own, in memory. */
export interface SmallDisk {
  /** Until nothing more goes onto it. */
  fill(): Promise<void>;
  /** Takes away what fill() has put there. */
  free(): Promise<void>;
  unmount(): Promise<void>;
}

/** Whether this machine lets us: it takes root, and a container's root often is not enough. */
export async function canMount(): Promise<boolean> {
  if (process.platform !== 'linux' || process.getuid?.() !== 0) return false;
  const folder = await mkdtemp(join(tmpdir(), 'skiplease-mount-'));
  try {
    await (await mountSmallDisk(folder, 1)).unmount();
    return true;
  } catch {
    return false;
  } finally {
    await rmdir(folder);
  }
}

/** Mounts one on this folder, which is made if it is not there. */
export async function mountSmallDisk(folder: string, megabytes: number): Promise<SmallDisk> {
  await mkdir(folder, { recursive: true });
  await execute('mount', ['-t', 'tmpfs', '-o', `size=${megabytes}m,mode=711`, 'tmpfs', folder]);
  const ballast = join(folder, 'ballast');
  return {
    fill: async () => {
      const file = await open(ballast, 'a');
      // What is left beside the last large piece goes in small ones.
      for (let bytes = STEP_BYTES; bytes >= 1; bytes /= 2) {
        const piece = Buffer.alloc(bytes);
        while ((await file.write(piece).catch(refusedByFullDisk)) !== undefined);
      }
      await file.close();
    },
    free: () => rm(ballast),
    unmount: async () => void (await execute('umount', [folder])),
  };
}

function refusedByFullDisk(error: Error): undefined {
  if ((error as NodeJS.ErrnoException).code !== 'ENOSPC') throw error;
}
