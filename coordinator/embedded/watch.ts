import { setTimeout as delay } from 'node:timers/promises';
import type { EmbeddedPostgresLog } from './options.ts';
import { stopServer } from './server.ts';

/** How often it is looked whether the server lives. */
const LOOK_INTERVAL_MS = 500;

/** A start that failed is tried again after this: the disk may be full, or memory short, for a while. */
const RETRY_MS = 5_000;

/** A server that is started again when it dies. */
export interface Watched {
  pid: () => number;
  stop: () => Promise<void>;
}

/**
 * Starts a server again that died without being asked to (kill -9, the kernel out of memory), since nobody else does:
 * until then the coordinator takes it for a database that is away, and goes on when it is back.
 *
 * @param launchAgain starts it on the port that it had.
 */
export function watchServer(
  firstPid: number,
  postgresFolder: string,
  launchAgain: () => Promise<number>,
  log: EmbeddedPostgresLog | undefined,
): Watched {
  const stopped = new AbortController();
  let pid = firstPid;

  async function watch(): Promise<void> {
    for (;;) {
      await delay(LOOK_INTERVAL_MS, undefined, { ref: false, signal: stopped.signal });
      if (lives(pid)) continue;
      log?.warn({ pid }, 'PostgreSQL has died and is started again');
      try {
        pid = await launchAgain();
        log?.info({ pid }, 'PostgreSQL is back');
      } catch (error) {
        log?.warn({ err: error }, 'PostgreSQL could not be started again; the next try follows');
        await delay(RETRY_MS, undefined, { ref: false, signal: stopped.signal });
      }
    }
  }

  const watching = watch().catch((error: Error) => {
    if (error.name !== 'AbortError') throw error;
  });
  return {
    pid: () => pid,
    stop: async () => {
      stopped.abort();
      // A start that is under way is waited for: what it starts is stopped.
      await watching;
      await stopServer(pid, postgresFolder);
    },
  };
}

function lives(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM';
  }
}
