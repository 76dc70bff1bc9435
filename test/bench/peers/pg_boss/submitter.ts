import { PgBoss } from 'pg-boss';
import { benchPayload } from '../../measure/payload.ts';
import { serveSubmitter } from '../../roles/serve.ts';
import { CALLS_IN_FLIGHT, submitInChunks } from '../chunks.ts';
import { QUEUE } from './preset.ts';

serveSubmitter(async ({ databaseUrl }) => {
  const boss = new PgBoss({ connectionString: databaseUrl, max: CALLS_IN_FLIGHT });
  boss.on('error', (error) => process.stderr.write(`pg-boss: ${error.stack}\n`));
  await boss.start();
  await boss.createQueue(QUEUE);
  return {
    submit: ({ first, count, payloadBytes }) =>
      submitInChunks(first, count, async (numbers) => {
        await boss.insert(
          QUEUE,
          numbers.map((number) => ({ data: benchPayload(number, payloadBytes) })),
        );
      }),
    async submitOne(number, payloadBytes, submittedMs) {
      await boss.send(QUEUE, benchPayload(number, payloadBytes, submittedMs));
    },
    close: () => boss.stop({ graceful: true, close: true }),
  };
});
