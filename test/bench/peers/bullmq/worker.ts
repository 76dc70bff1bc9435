import { Worker } from 'bullmq';
import { monotonicMs } from '../../measure/clock.ts';
import type { BenchPayload } from '../../measure/payload.ts';
import { serveWorker } from '../../roles/serve.ts';
import { CONCURRENCY, QUEUE } from './preset.ts';

serveWorker(async ({ url, mode }, tally) => {
  let worker: Worker | undefined;
  return {
    async start() {
      worker = new Worker(
        QUEUE,
        async (job) => {
          const { n, t } = job.data as BenchPayload;
          if (t !== undefined) tally.latenciesMs.push(monotonicMs() - t);
          tally.handled(n);
        },
        { connection: { url }, concurrency: CONCURRENCY[mode] },
      );
      // Emitted once Redis has answered that the job is in its set of completed ones.
      worker.on('completed', () => tally.durable(1));
      worker.on('error', (error) => process.stderr.write(`BullMQ: ${error.stack}\n`));
      await worker.waitUntilReady();
    },
    async stop() {
      await worker?.close();
    },
  };
});
