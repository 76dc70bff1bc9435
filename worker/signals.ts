import type { Logger } from './logger.ts';

const stopSignals = ['SIGTERM', 'SIGINT'] as const;

/** Calls `stop` at the first SIGTERM or SIGINT and exits with code 1 at the second. Returns how to undo it. */
export function onStopSignals(stop: () => void, logger: Logger): () => void {
  let stopping = false;
  const listener = (signal: NodeJS.Signals) => {
    if (stopping) process.exit(1);
    stopping = true;
    logger.info({ event: 'stopping', signal }, `${signal}: finishing what runs; once more to exit at once`);
    stop();
  };
  for (const signal of stopSignals) process.on(signal, listener);
  return () => {
    for (const signal of stopSignals) process.off(signal, listener);
  };
}
