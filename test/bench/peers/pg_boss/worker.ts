import { setTimeout as delay } from 'node:timers/promises';
import { PgBoss } from 'pg-boss';
import type { BenchPayload } from '../../measure/payload.ts';
import { serveWorker } from '../../roles/serve.ts';
import { BATCH_JOBS, LOOPS, QUEUE } from './preset.ts';

/** How long a loop that found nothing waits: its own polling allows half a second at the least. */
const EMPTY_PAUSE_MS = 2;

serveWorker(async ({ url }, tally) => {
  const boss = new PgBoss({ connectionString: url, max: LOOPS + 2 });
  boss.on('error', (error) => process.stderr.write(`pg-boss: ${error.stack}\n`));
  await boss.start();
  let running = false;
  let loops: Promise<void>[] = [];
  const loop = async () => {
    while (running) {
      const jobs = await boss.fetch(QUEUE, { batchSize: BATCH_JOBS });
      if (jobs.length === 0) {
        await delay(EMPTY_PAUSE_MS);
        continue;
      }
      for (const job of jobs) tally.handled((job.data as BenchPayload).n);
      const { affected } = await boss.complete(QUEUE, jobs.map((job) => job.id));
      tally.durable(affected);
    }
  };
  return {
    async start() {
      running = true;
      loops = Array.from({ length: LOOPS }, loop);
    },
    async stop() {
      running = false;
      await Promise.all(loops);
    },
  };
});
