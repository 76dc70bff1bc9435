import test from 'ava';
import { JobState } from '../../proto/gen/skiplease/v1/job.ts';
import { ReceiptStatus } from '../../proto/gen/skiplease/v1/worker_service.ts';
import { waitFor } from '../support/wait.ts';
import { call, jobSpec, refused, startRpc, succeeded } from '../support/rpc_clients.ts';
import type { Rpc } from '../support/rpc_clients.ts';

let rpc: Rpc;
test.before(async () => {
  rpc = await startRpc();
});
test.after.always(() => rpc?.stop());

const DELAY = { $case: 'delay', value: { seconds: 0, nanos: 200_000_000 } } as const;

test('jobs with options come in, run, fail, come back and end like any other, beside plain ones in one lease', async (t) => {
  const special = () => jobSpec({ queue: 'beside', serialKey: crypto.randomUUID() });
  const ids = await rpc.submit(jobSpec({ queue: 'beside' }), special(), jobSpec({ queue: 'beside' }), special(), special());
  const worker = await rpc.worker({ queues: ['beside'], jobs: 10 });
  const lease = await worker.lease();
  t.deepEqual(lease.jobs.map(({ id }) => id), ids, 'in the order of their submit');
  const { jobs } = await worker.report(lease.token, [...ids.slice(0, 4).map((id) => succeeded(id)), { jobId: ids[4]!, outcome: { $case: 'failed', value: { error: undefined, permanent: false, retryDelay: { seconds: 0, nanos: 0 } } }, followUps: [] }]);
  t.true(jobs.every(({ status }) => status === ReceiptStatus.ACCEPTED));
  const again = await worker.lease();
  t.like(again.jobs[0], { id: ids[4], attempt: 2 });
  await worker.report(again.token, [succeeded(ids[4]!)]);
  for (const id of ids) {
    t.is((await rpc.get(id)).state, JobState.SUCCEEDED);
  }
});

test('what a job asked for is shown, and a repeated submit creates nothing twice', async (t) => {
  const spec = jobSpec({
    id: '', queue: 'shown', serialKey: 'customer 7', limitKey: 'host', deadline: { $case: 'startWithin', value: { seconds: 60, nanos: 0 } },
  });
  const [id] = await rpc.submit(spec);
  const job = await rpc.get(id!);
  t.like(job, { serialKey: 'customer 7', limitKey: 'host' });
  t.true(Math.abs(job.startBy!.getTime() - job.createTime!.getTime() - 60_000) < 2_000);
  const { existingJobIds } = await call(rpc.jobs, 'submitJobs', { jobs: [{ ...spec, id: id! }, jobSpec({ queue: 'shown' })] });
  t.deepEqual(existingJobIds, [id]);
  const { queue } = await call(rpc.queues, 'getQueue', { queue: 'shown' });
  t.is(queue!.depth!.ready, 2);
});

test('they wait for their time, and are cancelled where they wait', async (t) => {
  const [soon, later] = await rpc.submit(
    jobSpec({ queue: 'timed', serialKey: 'a', start: DELAY }), jobSpec({ queue: 'timed', serialKey: 'b', start: { $case: 'delay', value: { seconds: 3_600, nanos: 0 } } }));
  t.is((await rpc.get(later!)).state, JobState.SCHEDULED);
  await waitFor(async () => (await rpc.get(soon!)).state === JobState.READY, { deadlineMs: 10_000, what: 'the first to be due' });
  const { jobsCancelled } = await call(rpc.jobs, 'cancelJobs', { jobIds: [soon!, later!], reason: 'no', filter: undefined });
  t.is(jobsCancelled, 2);
});

test('keys and ids that cannot be are refused by name', async (t) => {
  for (const [fields, field] of [
    [{ serialKey: 'x'.repeat(257) }, 'job.serial_key'], [{ batchId: 'mine' }, 'job.batch_id'], [{ afterJobIds: ['x'] }, 'job.after_job_ids[0]'],
    [{ unique: { key: '', scope: 0, lifetime: undefined, onConflict: 0 } }, 'job.unique.key'],
  ] as const) {
    const { violations } = await refused(call(rpc.jobs, 'submitJob', { job: jobSpec({ queue: 'bad', ...fields } as Parameters<typeof jobSpec>[0]) }));
    t.is(violations[0]?.field, field);
  }
});
