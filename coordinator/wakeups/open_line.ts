import type { Settings } from '../config.ts';
import type { Log } from '../observe/log.ts';
import { NotifyConnection } from '../store/notify.ts';
import type { OpenLine } from './line.ts';
import { memoryLine } from './memory_line.ts';
import { RedisLine } from './redis_line.ts';

/** The line that the settings ask for. `database.id` is the same for all coordinators of one database, and no others. */
export function lineOf(
  { wakeups, redisUrl }: Pick<Settings, 'wakeups' | 'redisUrl'>, database: { url: string; id: string }, log: Log,
): OpenLine {
  switch (wakeups) {
    case 'memory':
      return () => memoryLine;
    case 'postgres':
      return (received, listening) => new NotifyConnection(database.url, received, listening);
    case 'redis':
      return (received, listening) => new RedisLine({ url: redisUrl!, channel: `skiplease:${database.id}`, log }, received, listening);
  }
}
