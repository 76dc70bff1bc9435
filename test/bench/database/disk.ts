import { statfs } from 'node:fs/promises';
import type pg from 'pg';

/** Left free besides what is asked for. */
const RESERVE_BYTES = 2 * 2 ** 30;

/**
 * Says how much disk something needs, and throws when the server's disk does not have it. Where that disk cannot be seen
 * from here (another machine) it only says so.
 */
export async function needDisk(admin: pg.Client, what: string, bytes: number, say: (line: string) => void): Promise<void> {
  const { rows } = await admin.query<{ folder: string }>(`SELECT current_setting('data_directory') AS folder`);
  const needed = `${what} needs ${gigabytes(bytes + RESERVE_BYTES)} GB of disk`;
  let free: number;
  try {
    const { bavail, bsize } = await statfs(rows[0]!.folder);
    free = bavail * bsize;
  } catch {
    say(`${needed}; how much the server has cannot be seen from here`);
    return;
  }
  if (free < bytes + RESERVE_BYTES) throw new Error(`${needed}, and ${rows[0]!.folder} has ${gigabytes(free)}`);
  say(`${needed}; ${gigabytes(free)} are free`);
}

function gigabytes(bytes: number): string {
  return (bytes / 1e9).toFixed(1);
}
