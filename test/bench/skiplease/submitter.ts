import { JobClient } from '../../../worker/index.ts';
import { benchPayload } from '../measure/payload.ts';
import { serveSubmitter } from '../roles/serve.ts';
import { QUEUE, STREAMS, TYPE } from './preset.ts';

serveSubmitter(async ({ address }) => {
  const client = new JobClient({ addresses: [address!] });
  const job = (number: number, payloadBytes: number, submittedMs?: number) => ({
    queue: QUEUE,
    type: TYPE,
    payload: Buffer.from(JSON.stringify(benchPayload(number, payloadBytes, submittedMs))),
  });
  return {
    async submit({ first, count, payloadBytes }) {
      const perStream = Math.ceil(count / STREAMS);
      const lanes = Array.from({ length: STREAMS }, async (_, lane) => {
        const from = first + lane * perStream;
        const to = Math.min(first + count, from + perStream);
        async function* jobs() {
          for (let number = from; number < to; number += 1) yield job(number, payloadBytes);
        }
        if (from < to) await client.stream(jobs());
      });
      await Promise.all(lanes);
    },
    async submitOne(number, payloadBytes, submittedMs) {
      await client.submit(job(number, payloadBytes, submittedMs));
    },
    close: async () => client.close(),
  };
});
