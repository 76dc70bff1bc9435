import { v7 as uuidv7 } from 'uuid';
import { JobClient, type NewJob } from '../../../worker/index.ts';
import { benchPayload } from '../measure/payload.ts';
import type { FloodOrder } from '../roles/methods.ts';
import { serveSubmitter } from '../roles/serve.ts';
import { FIRST_BESIDE, queueOf, STREAMS, TYPE } from './preset.ts';

serveSubmitter(async ({ fleet }) => {
  const { addresses, queues, priorities, delayMs, serialKeys, besideKeys, layerJobs } = fleet!;
  const clients = addresses.map((address) => new JobClient({ addresses: [address] }));
  const ids = new Map<number, string>();
  const job = (number: number, payloadBytes: number, submittedMs?: number): NewJob => ({
    queue: queueOf(number, queues),
    type: TYPE,
    ...(priorities === 1 ? {} : { priority: number % priorities }),
    ...(delayMs === 0 ? {} : { runAt: new Date(Date.now() + delayMs) }),
    ...serialKey(number, number < FIRST_BESIDE ? serialKeys : besideKeys),
    // Of a job that is scheduled, what counts is the time since it was due.
    payload: Buffer.from(JSON.stringify(benchPayload(number, payloadBytes, submittedMs === undefined ? undefined : submittedMs + delayMs))),
  });
  const inLayers = async ({ first, count, payloadBytes }: FloodOrder) => {
    for (let from = first; from < first + count; from += layerJobs) {
      const layer = [...range(from, Math.min(first + count, from + layerJobs))];
      layer.forEach((number) => ids.set(number, uuidv7()));
      await clients[0]!.submitMany(layer.map((number) => ({
        ...job(number, payloadBytes),
        id: ids.get(number)!,
        afterJobIds: from === first ? [] : [number - layerJobs, from - 1 - (number - from)].map((before) => ids.get(before)!),
      })));
    }
  };
  return {
    async submit(order) {
      if (layerJobs > 0) return inLayers(order);
      const { first, count, payloadBytes } = order;
      const perStream = Math.ceil(count / STREAMS);
      const lanes = Array.from({ length: STREAMS }, async (_, lane) => {
        const from = first + lane * perStream;
        const to = Math.min(first + count, from + perStream);
        if (from >= to) return;
        const jobs = range(from, to).map((number) => job(number, payloadBytes));
        const { created, refusals } = await clients[lane % clients.length]!.stream(jobs);
        const missing = to - from - created;
        if (missing > 0) throw refusals[0]?.error ?? new Error(`${missing} of ${to - from} jobs were not created`);
      });
      await Promise.all(lanes);
    },
    async submitOne(number, payloadBytes, submittedMs) {
      await clients[0]!.submit(job(number, payloadBytes, submittedMs));
    },
    async submitTogether(numbers, payloadBytes, submittedMs) {
      await clients[0]!.submitMany(numbers.map((number) => job(number, payloadBytes, submittedMs)));
    },
    close: async () => clients.forEach((client) => client.close()),
  };
});

function serialKey(number: number, keys: number): Pick<NewJob, 'serialKey'> {
  return keys === 0 ? {} : { serialKey: `key ${number % keys}` };
}

/** Numbers one after the other, without an array of them all. */
function* range(from: number, to: number): Generator<number> {
  for (let number = from; number < to; number += 1) yield number;
}
