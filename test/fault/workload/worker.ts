/** A worker process: the TypeScript library under test, with handlers of every temper, and a history of all that it hears, says and does. */
import pg from 'pg';
import { Worker, type Job, type JobContext } from '../../../worker/index.ts';
import { History } from '../history/history.ts';
import { Random } from '../random.ts';
import { makeHandlers, payMany, type Work } from './handlers.ts';
import { QUEUE_NAMES } from './queues.ts';
import { historyName, readSettings, sayReady } from './settings.ts';
import { tapStreams } from './tap.ts';

const settings = readSettings();
const history = new History(settings.historyFolder, historyName(settings));
const random = new Random(settings.seed);
tapStreams(history);

/** Its beginning is known before it does anything, its end before anybody is told of it. */
function told(work: Work): (job: Job, context: JobContext) => Promise<unknown> {
  return async (job, context) => {
    const { token } = context;
    history.write({ event: 'start', token, id: job.id, attempt: job.attempt });
    try {
      const result = await work(job, context);
      history.write({ event: 'end', token, id: job.id, how: 'returned' });
      return result;
    } catch (error) {
      history.write({ event: 'end', token, id: job.id, how: (error as Error).name });
      throw error;
    }
  };
}

const pool = new pg.Pool({
  connectionString: settings.databaseUrl, max: 6, connectionTimeoutMillis: 3_000, query_timeout: 8_000, application_name: settings.name,
});
pool.on('error', () => undefined);
// The pool listens to those that rest; one that breaks the moment it is taken would end the process.
pool.on('connect', (connection) => connection.on('error', () => undefined));

const worker = new Worker({
  addresses: random.shuffled(settings.addresses),
  queues: QUEUE_NAMES,
  concurrency: 16,
  window: { jobs: 48 },
  workerId: settings.name,
  drainDeadlineMs: 3_000,
  database: pool,
  handlers: Object.fromEntries(Object.entries(makeHandlers(settings, history, random)).map(([type, work]) => [type, told(work)])),
  batchHandlers: { payMany },
});
const running = worker.run();
sayReady();
await running;
await pool.end();
