import { run } from 'graphile-worker';
import { Client, Pool } from 'pg';
import { monotonicMs } from '../../measure/clock.ts';
import type { BenchPayload } from '../../measure/payload.ts';
import type { Tally } from '../../measure/tally.ts';
import { serveWorker } from '../../roles/serve.ts';
import { PRESET, TASK } from './preset.ts';
import { onPoolError, quietLogger } from './quiet.ts';

serveWorker(async ({ url }, tally) => {
  let runner: { stop(): Promise<void> } | undefined;
  let pgPool: Pool | undefined;
  return {
    async start() {
      pgPool = new Pool({ connectionString: url, max: PRESET.maxPoolSize, Client: countingClient(tally) });
      onPoolError(pgPool);
      runner = await run({
        pgPool,
        preset: { worker: PRESET },
        noHandleSignals: true,
        logger: quietLogger,
        taskList: {
          [TASK]: (payload) => {
            const { n, t } = payload as BenchPayload;
            if (t !== undefined) tally.latenciesMs.push(monotonicMs() - t);
            tally.handled(n);
          },
        },
      });
    },
    async stop() {
      await runner?.stop();
      await pgPool?.end();
    },
  };
});

/**
 * graphile-worker completes a job by deleting it, later and in batches, and tells nobody. The answer to that DELETE is
 * where a job is durably complete, so it is read there: one comparison a statement, about one statement in 500 jobs.
 */
function countingClient(tally: Tally): typeof Client {
  return class extends Client {
    // oxlint-disable-next-line typescript/no-explicit-any -- query has nine overloads; this one passes all through
    override query(...parameters: any[]): any {
      const answer = (super.query as (...all: unknown[]) => unknown).apply(this, parameters);
      const { name } = parameters[0] as { name?: string };
      if (name?.startsWith('complete_job')) {
        void (answer as Promise<{ rowCount: number | null }>).then(
          (result) => tally.durable(result.rowCount ?? 0),
          () => {},
        );
      }
      return answer;
    }
  };
}
