import { readSettings } from './config.ts';
import { migrateOnly, startCoordinator } from './coordinator.ts';
import { SkipleaseError } from './errors.ts';
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
  if (commandOf(process.argv) === 'migrate') {
    // It listens nowhere: whether anybody would be asked who calls is no reason to refuse.
    await migrateOnly(readSettings({ ...process.env, SKIPLEASE_INSECURE: 'true' }), log);
  } else {
    await startCoordinator(readSettings(process.env), log, shutdown);
  }
} catch (error) {
  await shutdown.afterFailure(error);
}

/** `main.ts` starts a coordinator; `main.ts migrate` brings the database to its version and ends. */
function commandOf([, , command, ...rest]: string[]): 'start' | 'migrate' {
  if (rest.length > 0 || (command !== undefined && command !== 'migrate')) {
    throw new SkipleaseError('INVALID_ARGUMENT', 'UNKNOWN_COMMAND', 'A coordinator takes its settings from the environment. Its one command is migrate.');
  }
  return command ?? 'start';
}

/** A wrong level is told by readSettings, and must be seen. */
function logOf(level: string | undefined): Log {
  try {
    return createLog(readSettings({ SKIPLEASE_LOG_LEVEL: level }).logLevel);
  } catch {
    return createLog('info');
  }
}
