import { join } from 'node:path';
import { redisIsMissing, redisVersion, startRedis } from '../../../support/redis_server.ts';
import { type Contestant, launchRoles } from '../../contestant.ts';
import { CALLS_IN_FLIGHT, JOBS_PER_CALL } from '../preset.ts';
import { peerVersion } from '../install.ts';
import { type AppendFsync, CONCURRENCY, QUEUE } from './preset.ts';

/** A log of every write, no rewriting of it in the middle of a run (the counterpart of our checkpoints), and no key forgotten. */
const DURABLE = { appendonly: 'yes', 'auto-aof-rewrite-percentage': '0', 'maxmemory-policy': 'noeviction' };

/** BullMQ on Redis with its log forced to the disk once a second: the fastest setting that Redis itself calls durable. */
export const bullmq = onRedis('bullmq', 'everysec');

/** The same, but that an answer waits for the disk, as everyone's on PostgreSQL does. */
export const bullmqAlways: Contestant = { ...onRedis('bullmq-always', 'always'), onlyByName: true };

function onRedis(name: string, appendFsync: AppendFsync): Contestant {
  const log = `appendonly yes, appendfsync ${appendFsync}`;
  return {
    name,
    part: 'peer',
    store: 'Redis',
    missing: redisIsMissing,
    describe: () => ({
      version: `${peerVersion('bullmq')} on Redis ${redisVersion()}`,
      presets: {
        flood: `${log}; concurrency ${CONCURRENCY.flood}; addBulk of ${JOBS_PER_CALL}, ${CALLS_IN_FLIGHT} calls in flight`,
        trickle: `${log}; concurrency ${CONCURRENCY.trickle}; add`,
      },
      outcomes: appendFsync === 'always' ? 'kept' : 'kept; a power cut may lose the last second of everything',
    }),
    async launch(_server, mode) {
      const redis = await startRedis({ ...DURABLE, appendfsync: appendFsync });
      try {
        const roles = await launchRoles(
          { submitter: join(import.meta.dirname, 'submitter.ts'), worker: join(import.meta.dirname, 'worker.ts') },
          { url: redis.url, mode },
        );
        return {
          ...roles,
          processes: [{ name: 'Redis', pid: redis.pid }, ...roles.processes],
          database: undefined,
          audit: () => audit(redis.url),
          async discard() {
            await roles.stop();
            await redis.discard();
          },
        };
      } catch (error) {
        await redis.discard();
        throw error;
      }
    },
  };
}

async function audit(url: string) {
  // Not before: the peers are installed by the benchmark itself, after this module is loaded.
  const { Queue } = await import('bullmq');
  const queue = new Queue(QUEUE, { connection: { url } });
  const { completed = 0, ...others } = await queue.getJobCounts();
  await queue.close();
  return { unfinished: Object.values(others).reduce((sum, count) => sum + count, 0), succeeded: completed };
}
