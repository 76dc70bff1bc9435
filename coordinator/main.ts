import { readSettings } from './config.ts';
import { startCoordinator } from './coordinator.ts';
import { createLog } from './observe/log.ts';
import type { Log } from './observe/log.ts';
import { Shutdown } from './shutdown.ts';

/** The one place that reads the environment, and the one that ends the process. */
const log = logOf(process.env.SKIPLEASE_LOG_LEVEL);
const shutdown = new Shutdown(log, (code) => process.exit(code));
for (const name of ['SIGTERM', 'SIGINT', 'SIGHUP'] as const) {
  process.on(name, () => shutdown.signal(name));
}

try {
  await startCoordinator(readSettings(process.env), log, shutdown);
} catch (error) {
  await shutdown.afterFailure(error);
}

/** A wrong level is told by readSettings, and must be seen. */
function logOf(level: string | undefined): Log {
  try {
    return createLog(readSettings({ SKIPLEASE_LOG_LEVEL: level }).logLevel);
  } catch {
    return createLog('info');
  }
}
