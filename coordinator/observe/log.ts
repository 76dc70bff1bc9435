import pino from 'pino';
import type { LogLevel } from '../config.ts';

/** JSON lines, one for each thing that an operator needs to know. Never a payload, a result or a secret. */
export type Log = pino.Logger;

/** Writes to stdout at once: a line that explains an exit must not be lost in a buffer. */
export function createLog(level: LogLevel): Log {
  const destination = pino.destination({ dest: 1, sync: true });
  // The terminal was closed, or who read the pipe has gone: that must not end a coordinator, least of all while it stops.
  destination.on('error', () => {});
  return pino(
    {
      level,
      base: null,
      formatters: { level: (label) => ({ level: label }) },
      timestamp: pino.stdTimeFunctions.isoTime,
      // A connection error may carry the URL with its password.
      redact: ['*.connectionString', '*.password'],
      serializers: { err: describeError },
    },
    destination,
  );
}

/** An error as a log line shows it: its words and place, and what caused it. Not its fields, which may hold a statement's values. */
function describeError(error: unknown): object {
  if (!(error instanceof Error)) {
    return { message: String(error) };
  }
  const { code, reason } = error as { code?: unknown; reason?: unknown };
  return {
    type: error.name,
    message: error.message,
    ...(code === undefined ? {} : { code }),
    ...(reason === undefined ? {} : { reason }),
    stack: error.stack,
    ...(error.cause === undefined ? {} : { cause: describeError(error.cause) }),
  };
}
