import { pino } from 'pino';

/** What the library logs with: pino's shape, fields first. A pino logger fits as it is. */
export interface Logger {
  debug(fields: object, message: string): void;
  info(fields: object, message: string): void;
  warn(fields: object, message: string): void;
  error(fields: object, message: string): void;
  /** Where there is one, `context.logger` names the job in each line. */
  child?(fields: object): Logger;
}

/** JSON lines on stdout at level info. Payloads and results are never logged. */
export function defaultLogger(): Logger {
  return pino({ name: 'skiplease-worker' });
}

/** The logger that adds these fields to every line, where the logger can do that; else the logger as it is. */
export function loggerWith(logger: Logger, fields: object): Logger {
  return logger.child?.(fields) ?? logger;
}
