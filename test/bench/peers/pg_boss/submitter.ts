import { PgBoss } from 'pg-boss';
import { benchPayload } from '../../measure/payload.ts';
import { serveSubmitter } from '../../roles/serve.ts';
import { submitInChunks } from '../../submit_in_chunks.ts';
import { CALLS, CALLS_IN_FLIGHT } from '../preset.ts';
import { QUEUE } from './preset.ts';

serveSubmitter(async ({ url }) => {
  const boss = new PgBoss({ connectionString: url, max: CALLS_IN_FLIGHT });
  boss.on('error', (error) => process.stderr.write(`pg-boss: ${error.stack}\n`));
  await boss.start();
  await boss.createQueue(QUEUE);
  return {
    submit: ({ first, count, payloadBytes }) =>
      submitInChunks({ first, count, ...CALLS }, async (numbers) => {
        await boss.insert(
          QUEUE,
          numbers.map((number) => ({ data: benchPayload(number, payloadBytes) })),
        );
      }),
    close: () => boss.stop({ graceful: true, close: true }),
  };
});
