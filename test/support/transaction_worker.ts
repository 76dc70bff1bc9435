/**
 * A worker of its own process that freezes at the moment which a test wants to kill it at: `in` its transaction, or
 * `after` its COMMIT, before anything of it was reported. Prints the moment when it is there.
 */
import { writeSync } from 'node:fs';
import pg from 'pg';
import { Worker } from '../../worker/index.ts';

const [address, queue, databaseUrl, moment] = process.argv.slice(2) as [string, string, string, 'in' | 'after'];

/** The event loop never turns again: no report and no heartbeat leaves this process. */
function freezeAt(now: 'in' | 'after'): void {
  if (now !== moment) return;
  writeSync(1, `frozen ${now}\n`);
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0);
}

await new Worker({
  addresses: [address],
  queues: [queue],
  database: new pg.Pool({ connectionString: databaseUrl }),
  handlers: {
    effect: async (job, context) => {
      await context.transaction(async (client) => {
        await client.query('insert into public.effect (job_id, attempt) values ($1, $2)', [job.id, job.attempt]);
        freezeAt('in');
      });
      freezeAt('after');
    },
  },
}).run();
