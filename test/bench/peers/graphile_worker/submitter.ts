import { makeWorkerUtils } from 'graphile-worker';
import { Pool } from 'pg';
import { benchPayload } from '../../measure/payload.ts';
import { serveSubmitter } from '../../roles/serve.ts';
import { submitInChunks } from '../../submit_in_chunks.ts';
import { CALLS, CALLS_IN_FLIGHT } from '../preset.ts';
import { TASK } from './preset.ts';
import { onPoolError, quietLogger } from './quiet.ts';

serveSubmitter(async ({ url }) => {
  const pgPool = new Pool({ connectionString: url, max: CALLS_IN_FLIGHT });
  onPoolError(pgPool);
  const utils = await makeWorkerUtils({ pgPool, logger: quietLogger });
  await utils.migrate();
  return {
    submit: ({ first, count, payloadBytes }) =>
      submitInChunks({ first, count, ...CALLS }, async (numbers) => {
        await utils.addJobs(
          numbers.map((number) => ({ identifier: TASK, payload: benchPayload(number, payloadBytes) })),
        );
      }),
    async submitOne(number, payloadBytes, submittedMs) {
      await utils.addJob(TASK, benchPayload(number, payloadBytes, submittedMs));
    },
    async close() {
      await utils.release();
      await pgPool.end();
    },
  };
});
