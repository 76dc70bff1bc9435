import { JobClient } from '../../../worker/index.ts';
import { benchPayload } from '../measure/payload.ts';
import { serveSubmitter } from '../roles/serve.ts';
import { queueOf, STREAMS, TYPE } from './preset.ts';

serveSubmitter(async ({ fleet }) => {
  const { addresses, queues, priorities, delayMs } = fleet!;
  const clients = addresses.map((address) => new JobClient({ addresses: [address] }));
  const job = (number: number, payloadBytes: number, submittedMs?: number) => ({
    queue: queueOf(number, queues),
    type: TYPE,
    ...(priorities === 1 ? {} : { priority: number % priorities }),
    ...(delayMs === 0 ? {} : { runAt: new Date(Date.now() + delayMs) }),
    // Of a job that is scheduled, what counts is the time since it was due.
    payload: Buffer.from(JSON.stringify(benchPayload(number, payloadBytes, submittedMs === undefined ? undefined : submittedMs + delayMs))),
  });
  return {
    async submit({ first, count, payloadBytes }) {
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

/** Numbers one after the other, without an array of them all. */
function* range(from: number, to: number): Generator<number> {
  for (let number = from; number < to; number += 1) yield number;
}
