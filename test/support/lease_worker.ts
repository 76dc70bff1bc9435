/**
 * A worker in a process of its own, for tests that kill or freeze it: `lease_worker.ts OPTIONS` (JSON, see
 * WorkerProcessOptions). Its handler logs its effect to a file, outside of every coordinator and database.
 */
import { appendFileSync } from 'node:fs';
import { setTimeout as delay } from 'node:timers/promises';
import { pino } from 'pino';
import { Worker } from '../../worker/index.ts';
import type { WorkerProcessOptions } from './lease_worker_process.ts';

const options = JSON.parse(process.argv[2]!) as WorkerProcessOptions;

const worker = new Worker({
  addresses: options.addresses,
  queues: [options.queue],
  concurrency: options.concurrency,
  window: { jobs: options.windowJobs },
  workerId: options.workerId,
  logger: pino(pino.destination({ sync: true })),
  handlers: {
    work: async (job) => {
      appendFileSync(options.effectsFile, `${job.id} ${job.attempt} ${options.workerId} begun\n`);
      await delay(options.workMs);
      appendFileSync(options.effectsFile, `${job.id} ${job.attempt} ${options.workerId} done\n`);
    },
  },
});
await worker.run();
