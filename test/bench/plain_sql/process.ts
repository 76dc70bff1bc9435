import { randomUUID } from 'node:crypto';
import { setTimeout as delay } from 'node:timers/promises';
import pg from 'pg';
import { migrate } from '../../../coordinator/store/migrate.ts';
import { newJobId } from '../../../worker/index.ts';
import { benchPayload, type BenchPayload } from '../measure/payload.ts';
import { serveBoth } from '../roles/serve.ts';
import { submitInChunks } from '../submit_in_chunks.ts';
import { BATCH_JOBS, CLAIM_CONNECTIONS, INSERT_CONNECTIONS } from './preset.ts';
import { claim, complete, CONNECTION_OPTIONS, insert } from './statements.ts';

const NAME = 'bench';
/** How long a loop that found nothing waits. */
const EMPTY_PAUSE_MS = 2;

let queueId = 0;

serveBoth(
  async ({ url }) => {
    await migrate(url);
    const clients = await connect(url, INSERT_CONNECTIONS);
    const { rows } = await clients[0]!.query<{ id: number }>('insert into skiplease.queue (name) values ($1) returning id', [NAME]);
    queueId = rows[0]!.id;
    const idle = [...clients];
    return {
      submit: ({ first, count, payloadBytes }) =>
        submitInChunks({ first, count, together: BATCH_JOBS, inFlight: INSERT_CONNECTIONS }, async (numbers) => {
          const client = idle.pop()!;
          await insert(client, queueId, NAME, {
            ids: numbers.map(() => newJobId()),
            payloads: numbers.map((number) => Buffer.from(JSON.stringify(benchPayload(number, payloadBytes)))),
          });
          idle.push(client);
        }),
      close: () => end(clients),
    };
  },
  async ({ url }, tally) => {
    const holder = randomUUID();
    let clients: pg.Client[] = [];
    let loops: Promise<void>[] = [];
    let running = false;
    // Where the last claim ended. Inserts commit in any order, so one that comes back short looks from the beginning.
    let after = '0';
    const loop = async (client: pg.Client) => {
      while (running) {
        const claimed = await claim(client, { queueId, after, jobs: BATCH_JOBS, holder });
        after = claimed?.ids.length === BATCH_JOBS ? claimed.lastPosition : '0';
        if (!claimed) {
          await delay(EMPTY_PAUSE_MS);
          continue;
        }
        for (const payload of claimed.payloads) tally.handled((JSON.parse(payload.toString()) as BenchPayload).n);
        tally.durable(await complete(client, claimed));
      }
    };
    return {
      async start() {
        clients = await connect(url, CLAIM_CONNECTIONS);
        running = true;
        loops = clients.map(loop);
      },
      async stop() {
        running = false;
        await Promise.all(loops);
        await end(clients);
      },
    };
  },
);

function connect(url: string, count: number): Promise<pg.Client[]> {
  const clients = Array.from({ length: count }, async () => {
    const client = new pg.Client({ connectionString: url, options: CONNECTION_OPTIONS });
    await client.connect();
    return client;
  });
  return Promise.all(clients);
}

async function end(clients: pg.Client[]): Promise<void> {
  await Promise.all(clients.map((client) => client.end()));
}
