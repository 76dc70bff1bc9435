/** A worker of the simulation, as a pod would be: `worker.ts OPTIONS` (JSON, fleet.ts). Each job says how long it takes. */
import { appendFileSync } from 'node:fs';
import { setTimeout as delay } from 'node:timers/promises';
import { Worker } from '../../worker/index.ts';
import type { WorkerOptions } from './fleet.ts';

const { addresses, queue, workerId, effectsFile, concurrency, drainDeadlineMs } = JSON.parse(process.argv[2]!) as WorkerOptions;

await new Worker({
  addresses,
  queues: [queue],
  concurrency,
  workerId,
  drainDeadlineMs,
  handlers: {
    work: async (job, { signal }) => {
      // At the drain deadline it is told to stop, and handed back.
      await delay(job.json<{ workMs: number }>().workMs, undefined, { signal });
      appendFileSync(effectsFile, `${JSON.stringify({ jobId: job.id, attempt: job.attempt, workerId, moment: 'done' })}\n`);
    },
  },
}).run();
