/** A coordinator is killed in the middle of a batch: each job counts once, the batch is finished once, and its follow-up runs once. */
import test from 'ava';
import { BatchClient, JobClient, PermanentError, Worker } from '../../worker/index.ts';
import { startWorld } from '../support/lease_world.ts';
import { waitFor } from '../support/wait.ts';
import { KeptLog } from '../unit/worker_parts.ts';

const DEADLINE_MS = 60_000;
const LETTERS = 2_000;

test('each job counts once, whoever committed its end, and the follow-up runs once', async (t) => {
  const world = await startWorld({ coordinators: 2 });
  t.teardown(() => world.end());
  const client = new JobClient({ addresses: world.addresses });
  const batches = new BatchClient({ addresses: world.addresses.toReversed() });
  t.teardown(() => {
    client.close();
    batches.disconnect();
  });
  const summaries: Record<string, string>[] = [];
  const workers = world.addresses.map((address, index) => new Worker({
    // Each at home on a coordinator of its own.
    addresses: [address, world.addresses[1 - index]!], queues: ['letters'], concurrency: 8, handleSignals: false, drainDeadlineMs: 0, logger: new KeptLog(),
    handlers: {
      letter: (job) => {
        if (job.json<{ number: number }>().number % 10 === 0) throw new PermanentError('BAD_ADDRESS', 'no such street');
      },
      summary: (job) => void summaries.push(job.headers),
    },
  }));
  const running = workers.map((worker) => worker.run());
  const { id: batchId, followUpJobId } = await batches.create({ followUp: { queue: 'letters', type: 'summary' } });
  const letters = Array.from({ length: LETTERS }, (_, number) => ({ queue: 'letters', type: 'letter', payload: { number }, batchId }));
  const submitted = client.stream(letters, { chunkJobs: 100 }).then(() => batches.close(batchId));
  await waitFor(async () => (await batches.get(batchId)).counts.succeeded > LETTERS / 10, { deadlineMs: DEADLINE_MS, what: 'a tenth of the letters' });
  world.members[0]!.kill('SIGKILL');
  await submitted;
  for await (const { counts } of batches.watch(batchId)) {
    t.is(counts.total, counts.pending + counts.succeeded + counts.failed + counts.cancelled);
  }
  const { counts, state } = await batches.get(batchId);
  t.deepEqual({ state, counts }, { state: 'FINISHED', counts: { total: LETTERS, pending: 0, succeeded: LETTERS * 0.9, failed: LETTERS / 10, cancelled: 0 } });
  await waitFor(async () => (await client.get(followUpJobId)).state === 'SUCCEEDED', { deadlineMs: DEADLINE_MS, what: 'the follow-up' });
  t.is(summaries.length, 1);
  t.like(summaries[0], { 'skiplease-batch-total': `${LETTERS}`, 'skiplease-batch-failed': `${LETTERS / 10}` });

  await Promise.all(workers.map((worker) => worker.stop()));
  await Promise.all(running);
});
