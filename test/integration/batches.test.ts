import test from 'ava';
import { BatchState } from '../../proto/gen/skiplease/v1/batch_service.ts';
import type { Batch, CreateBatchRequest } from '../../proto/gen/skiplease/v1/batch_service.ts';
import { JobSpec, JobState } from '../../proto/gen/skiplease/v1/job.ts';
import { ListJobsRequest } from '../../proto/gen/skiplease/v1/job_service.ts';
import { ReceiptStatus } from '../../proto/gen/skiplease/v1/worker_service.ts';
import { BatchClient } from '../../worker/index.ts';
import type { BatchSnapshot } from '../../worker/index.ts';
import { waitFor } from '../support/wait.ts';
import { call, failedForGood, jobSpec, refused, startRpc, succeeded } from '../support/rpc_clients.ts';
import type { Rpc } from '../support/rpc_clients.ts';

/** Two coordinators on one database. */
let rpc: Rpc;
let other: Rpc;
test.before(async () => {
  rpc = await startRpc();
  other = await startRpc({}, rpc.databaseUrl);
});
test.after.always(async () => {
  await other?.stop();
  await rpc?.stop();
});

async function create(fields: Partial<CreateBatchRequest> = {}): Promise<Batch> {
  const { batch } = await call(rpc.batches, 'createBatch', { id: '', label: '', followUp: undefined, ...fields });
  return batch!;
}

async function get(batchId: string, at = rpc): Promise<Batch> {
  return (await call(at.batches, 'getBatch', { batchId })).batch!;
}

async function close(batchId: string, at = rpc): Promise<Batch> {
  return (await call(at.batches, 'closeBatch', { batchId })).batch!;
}

/** Waits until it is finished. */
function finished(batchId: string): Promise<Batch> {
  return waitFor(async () => {
    const batch = await get(batchId);
    return batch.state === BatchState.FINISHED ? batch : undefined;
  }, { deadlineMs: 10_000, what: `batch ${batchId} to be finished` });
}

const counts = (total: number, succeededJobs: number, failed: number, cancelled: number) =>
  ({ total, pending: total - succeededJobs - failed - cancelled, succeeded: succeededJobs, failed, cancelled });

test('jobs are counted as they come and end, on any coordinator, and the follow-up learns of it', async (t) => {
  const queue = 'counted';
  const batch = await create({ label: 'October', followUp: jobSpec({ queue: 'after-counted', type: 'sum', headers: { trace: '1' } }) });
  t.like(batch, { label: 'October', state: BatchState.OPEN, counts: counts(0, 0, 0, 0), closeTime: undefined });
  const ids = await rpc.submit(...Array.from({ length: 3 }, () => jobSpec({ queue, batchId: batch.id })), jobSpec({ queue }));
  await other.submit(jobSpec({ queue, batchId: batch.id }), jobSpec({ queue, batchId: batch.id }));
  t.deepEqual((await get(batch.id, other)).counts, counts(5, 0, 0, 0));
  t.is((await rpc.get(ids[0]!)).batchId, batch.id);
  const worker = await other.worker({ queues: [queue], jobs: 10 });
  const jobs: string[] = [];
  while (jobs.length < 6) {
    const lease = await worker.lease();
    for (const { id } of lease.jobs) {
      const { jobs: receipts } = await worker.report(lease.token, [id === ids[0] ? failedForGood(id, 'X', 'x') : succeeded(id)]);
      t.is(receipts[0]!.status, ReceiptStatus.ACCEPTED);
      jobs.push(id);
    }
  }
  t.deepEqual((await get(batch.id)).counts, counts(5, 4, 1, 0));
  t.is((await get(batch.id)).state, BatchState.OPEN);
  t.is((await refused(call(rpc.jobs, 'getJob', { jobId: batch.followUpJobId }))).reason, 'JOB_NOT_FOUND');
  t.not((await close(batch.id)).closeTime, undefined);
  t.deepEqual((await finished(batch.id)).counts, counts(5, 4, 1, 0));
  const followUp = await rpc.until(batch.followUpJobId, ({ state }) => state === JobState.READY, 'the follow-up to be ready');
  t.like(followUp, { queue: 'after-counted', type: 'sum', batchId: '' });
  t.deepEqual(followUp.headers, {
    'trace': '1', 'skiplease-batch-id': batch.id, 'skiplease-batch-total': '5', 'skiplease-batch-succeeded': '4',
    'skiplease-batch-failed': '1', 'skiplease-batch-cancelled': '0',
  });
  const { jobs: listed } = await call(rpc.jobs, 'listJobs', ListJobsRequest.create({ batchId: batch.id, state: JobState.FAILED }));
  t.deepEqual(listed.map(({ id }) => id), [ids[0]]);
});

test('an empty batch is finished when it is closed; closing again is harmless', async (t) => {
  const { id } = await create();
  await close(id);
  await close(id, other);
  t.like(await finished(id), { counts: counts(0, 0, 0, 0), followUpJobId: '' });
  await close(id);
});

test('a batch that is closed or is not there takes no jobs, and nothing of such a submit stays', async (t) => {
  const { id } = await create();
  await close(id);
  const batchId = '01990000-0000-7000-8000-000000000000';
  t.like(await refused(rpc.submit(jobSpec({ queue: 'refused' }), jobSpec({ queue: 'refused', batchId: id }))), { code: 9, reason: 'BATCH_CLOSED' });
  t.like(await refused(rpc.submit(jobSpec({ queue: 'refused', batchId }))), { code: 5, reason: 'BATCH_NOT_FOUND' });
  t.like(await refused(get(batchId)), { code: 5, reason: 'BATCH_NOT_FOUND' });
  t.is((await call(rpc.queues, 'getQueue', { queue: 'refused' })).queue!.depth!.ready, 0);
});

test('a batch is made once; its id belongs to one follow-up', async (t) => {
  const first = await create({ followUp: jobSpec({ queue: 'once' }) });
  const again = await create({ id: first.id, label: 'other', followUp: jobSpec({ queue: 'once' }) });
  t.deepEqual(again, first);
  t.like(await refused(create({ id: first.id })), { code: 6, reason: 'BATCH_ID_TAKEN' });
  t.like(await refused(create({ id: first.id, followUp: jobSpec({ queue: 'once', type: 'other' }) })), { reason: 'BATCH_ID_TAKEN' });
});

test('what cannot be a batch is refused by name', async (t) => {
  for (const [fields, field] of [
    [{ id: 'mine' }, 'id'], [{ label: 'x'.repeat(201) }, 'label'], [{ followUp: JobSpec.create({ type: 'x' }) }, 'follow_up.queue'],
    [{ followUp: jobSpec({ batchId: crypto.randomUUID() }) }, 'follow_up.batch_id'],
  ] as const) {
    t.is((await refused(create(fields))).violations[0]?.field, field);
  }
  t.is((await refused(get('x'))).violations[0]?.field, 'batch_id');
});

test('delays of a follow-up count from the end of the batch', async (t) => {
  const hour = { seconds: 3_600, nanos: 0 };
  const batch = await create({
    followUp: jobSpec({ queue: 'later', start: { $case: 'delay', value: hour }, deadline: { $case: 'startWithin', value: { seconds: 7_200, nanos: 0 } } }),
  });
  await close(batch.id);
  const finishMs = (await finished(batch.id)).finishTime!.getTime();
  const job = await rpc.get(batch.followUpJobId);
  t.is(job.state, JobState.SCHEDULED);
  t.true(Math.abs(job.runAt!.getTime() - finishMs - 3_600_000) < 5);
  t.true(Math.abs(job.startBy!.getTime() - finishMs - 7_200_000) < 5);
});

test('a batch is cancelled where its jobs are: waiting, scheduled and held', async (t) => {
  const queue = 'cancelled';
  const batch = await create({ followUp: jobSpec({ queue: 'after-cancelled' }) });
  const worker = await rpc.worker({ queues: [queue], jobs: 2 });
  const spec = () => jobSpec({ queue, batchId: batch.id });
  await rpc.submit(spec(), spec());
  const lease = await worker.lease();
  const first = lease.jobs[0]!.id;
  await worker.report(lease.token, [succeeded(first)]);
  await rpc.submit(...Array.from({ length: 1_500 }, spec), { ...spec(), start: { $case: 'delay', value: { seconds: 60, nanos: 0 } } });
  const { jobsCancelled } = await call(other.batches, 'cancelBatch', { batchId: batch.id, reason: 'no longer wanted' });
  const held = (await get(batch.id)).counts!.cancelled;
  t.is(jobsCancelled, held);
  t.deepEqual((await finished(batch.id)).counts, counts(1_503, 1, 0, 1_502));
  const late = lease.jobs[1];
  if (late !== undefined) {
    const { jobs } = await worker.report(lease.token, [succeeded(late.id)]);
    t.is(jobs[0]!.status, ReceiptStatus.CANCELLED);
  }
  await rpc.until(batch.followUpJobId, ({ state }) => state === JobState.READY, 'the follow-up');
  t.is((await call(other.batches, 'cancelBatch', { batchId: batch.id, reason: '' })).jobsCancelled, 0);
});

test('batches are listed newest first, by state and by page', async (t) => {
  const made = [await create({ label: 'list' }), await create({ label: 'list' }), await create({ label: 'list' })].map(({ id }) => id).reverse();
  await close(made[1]!);
  await finished(made[1]!);
  const seen: string[] = [];
  let pageToken = '';
  do {
    const page = await call(rpc.batches, 'listBatches', { state: BatchState.OPEN, pageSize: 1, pageToken });
    seen.push(...page.batches.map(({ id }) => id));
    pageToken = page.nextPageToken;
  } while (pageToken !== '');
  t.deepEqual(seen.filter((id) => made.includes(id)), [made[0]!, made[2]!]);
  const all = await call(rpc.batches, 'listBatches', { state: BatchState.UNSPECIFIED, pageSize: 1_000, pageToken: '' });
  t.deepEqual(all.batches.map(({ id }) => id).filter((id) => made.includes(id)), made);
  t.like(await refused(call(rpc.batches, 'listBatches', { state: BatchState.OPEN, pageSize: 1, pageToken: 'x' })), { code: 3 });
});

test('a watch shows how far a batch is, and ends with it', async (t) => {
  const client = new BatchClient({ addresses: [other.coordinator.grpcAddress] });
  const { id } = await client.create({ followUp: { queue: 'after-watched', type: 't' } });
  await rpc.submit(...Array.from({ length: 3 }, () => jobSpec({ queue: 'watched', batchId: id })));
  const seen: BatchSnapshot[] = [];
  const watching = (async () => {
    for await (const batch of client.watch(id)) seen.push(batch);
  })();
  await waitFor(() => seen.length > 0, { deadlineMs: 5_000, what: 'the first state' });
  const worker = await rpc.worker({ queues: ['watched'], jobs: 10 });
  const lease = await worker.lease();
  await worker.report(lease.token, lease.jobs.map((job) => succeeded(job.id)));
  await waitFor(() => seen.at(-1)!.counts.succeeded === 3, { deadlineMs: 5_000, what: 'the successes' });
  t.is((await client.get(id)).state, 'OPEN');
  t.is((await client.close(id)).counts.pending, 0);
  await watching;
  t.like(seen[0], { state: 'OPEN', counts: counts(3, 0, 0, 0) });
  t.like(seen.at(-1), { state: 'FINISHED', counts: counts(3, 3, 0, 0) });
  const listed: string[] = [];
  for await (const batch of client.list('FINISHED')) listed.push(batch.id);
  t.true(listed.includes(id));
  t.is((await client.cancel(id)).jobsCancelled, 0);
  await t.throwsAsync(client.watch(crypto.randomUUID()).next(), { name: 'SkipleaseError', message: /no batch/ });
  client.disconnect();
});
