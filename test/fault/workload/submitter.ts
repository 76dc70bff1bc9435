/** Submits jobs of every kind, each until it is accepted, and cancels and looks at some. After SIGTERM what was begun is brought to its end. */
import { setTimeout as delay } from 'node:timers/promises';
import pg from 'pg';
import { BatchClient, JobClient } from '../../../worker/index.ts';
import { History } from '../history/history.ts';
import { Random } from '../random.ts';
import { Submissions } from './submissions.ts';
import { batchesOf, graphsOf, LANES } from './lanes.ts';
import { ordersOf } from './orders.ts';
import { historyName, readSettings, sayReady } from './settings.ts';

const settings = readSettings();
const history = new History(settings.historyFolder, historyName(settings));
const random = new Random(settings.seed);
const options = { addresses: settings.addresses, timeoutMs: 5_000 };
const client = new JobClient(options);
const batches = new BatchClient(options);
const pool = new pg.Pool({ connectionString: settings.databaseUrl, max: 2, connectionTimeoutMillis: 3_000, query_timeout: 8_000 });
pool.on('error', () => undefined);
// A connection that breaks between two queries says so by an event alone.
pool.on('connect', (connection) => connection.on('error', () => undefined));
const submissions = new Submissions(client, history);

const stop = new AbortController();
process.on('SIGTERM', () => stop.abort());
sayReady();

/** Again and again until the end, with a pause of about so long in between. */
async function every(pauseMs: number, act: () => Promise<void>): Promise<void> {
  while (!stop.signal.aborted) {
    await act();
    await delay(pauseMs * (0.5 + random.next()), undefined, { signal: stop.signal }).catch(() => undefined);
  }
}

await Promise.all([
  ...LANES.map(({ pauseMs, how, make }) => every(pauseMs, () => submissions.submit(make(random), how))),
  every(1_000, graphsOf(submissions, random)),
  every(2_000, batchesOf(submissions, batches, history, random)),
  every(300, ordersOf(pool, history, random)),
  every(500, () => submissions.repeat(random)),
  every(400, () => submissions.cancel(random)),
  every(200, () => submissions.look(random)),
]);
client.close();
batches.disconnect();
await pool.end();
