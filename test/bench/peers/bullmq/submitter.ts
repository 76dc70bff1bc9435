import { Queue } from 'bullmq';
import { benchPayload } from '../../measure/payload.ts';
import { serveSubmitter } from '../../roles/serve.ts';
import { submitInChunks } from '../../submit_in_chunks.ts';
import { CALLS } from '../preset.ts';
import { QUEUE } from './preset.ts';

serveSubmitter(async ({ url }) => {
  const queue = new Queue(QUEUE, { connection: { url } });
  await queue.waitUntilReady();
  return {
    submit: ({ first, count, payloadBytes }) =>
      submitInChunks({ first, count, ...CALLS }, async (numbers) => {
        await queue.addBulk(numbers.map((number) => ({ name: QUEUE, data: benchPayload(number, payloadBytes) })));
      }),
    async submitOne(number, payloadBytes, submittedMs) {
      await queue.add(QUEUE, benchPayload(number, payloadBytes, submittedMs));
    },
    close: () => queue.close(),
  };
});
