import { setTimeout as delay } from 'node:timers/promises';
import { EmbeddedPostgresError } from './errors.ts';
import { readPostmasterFile } from './postmaster_file.ts';
import { processIdentity } from './process_identity.ts';

/** A server after a crash replays its log before it is ready: with `max_wal_size` 2 GB that can take a minute. */
export const READY_DEADLINE_MS = 180_000;

/** How often the server's own files and process are looked at while it starts or stops. */
export const LOOK_INTERVAL_MS = 20;

/** A fast shutdown rolls back what is open and writes a checkpoint. */
const FAST_STOP_DEADLINE_MS = 30_000;

/** An immediate shutdown writes nothing; the server itself kills what lingers after five seconds. */
const IMMEDIATE_STOP_DEADLINE_MS = 10_000;

/**
 * Stops a server: fast (what is open is rolled back), and past the deadline immediately, which the next start
 * repairs from the log. Never with SIGKILL, which would leave its children behind.
 */
export async function stopServer(pid: number, postgresFolder: string): Promise<void> {
  const identity = await processIdentity(pid);
  const steps = [
    { signal: 'SIGINT', deadlineMs: FAST_STOP_DEADLINE_MS },
    { signal: 'SIGQUIT', deadlineMs: IMMEDIATE_STOP_DEADLINE_MS },
  ] as const;
  for (const { signal, deadlineMs } of steps) {
    if (!(await isRunning(pid, identity))) return;
    signalIfThere(pid, signal);
    const deadline = performance.now() + deadlineMs;
    while (performance.now() < deadline) {
      if (!(await isRunning(pid, identity))) return;
      await delay(LOOK_INTERVAL_MS);
    }
  }
  throw new EmbeddedPostgresError(
    'STOP_FAILED',
    `PostgreSQL (pid ${pid}, data in ${postgresFolder}) did not stop within ` +
      `${FAST_STOP_DEADLINE_MS + IMMEDIATE_STOP_DEADLINE_MS} ms.`,
  );
}

/** Waits for a server that somebody else started: true when it takes connections, false when it ends instead. */
export async function waitUntilReady(pid: number, postgresFolder: string): Promise<boolean> {
  const identity = await processIdentity(pid);
  const deadline = performance.now() + READY_DEADLINE_MS;
  while (performance.now() < deadline && (await isRunning(pid, identity))) {
    const postmaster = await readPostmasterFile(postgresFolder);
    if (postmaster?.pid === pid && postmaster.status === 'ready') return true;
    await delay(LOOK_INTERVAL_MS);
  }
  return false;
}

async function isRunning(pid: number, identity: string | undefined): Promise<boolean> {
  return identity !== undefined && (await processIdentity(pid)) === identity;
}

function signalIfThere(pid: number, signal: NodeJS.Signals): void {
  try {
    process.kill(pid, signal);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error;
  }
}
