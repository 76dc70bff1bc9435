import test from 'ava';
import { JobState } from '../../proto/gen/skiplease/v1/job.ts';
import { CancelReason, ReceiptStatus } from '../../proto/gen/skiplease/v1/worker_service.ts';
import { jobSpec, startRpc, succeeded } from '../support/rpc_clients.ts';
import type { Rpc } from '../support/rpc_clients.ts';

let rpc: Rpc;
test.before(async () => {
  rpc = await startRpc();
});
test.after.always(() => rpc?.stop());

const soon = { $case: 'startWithin', value: { seconds: 2, nanos: 0 } } as const;

test('a job that nobody starts in time is cancelled as expired; one that has started is not', async (t) => {
  const [waits, paused, snoozed, runs] = await rpc.submit(
    jobSpec({ queue: 'nobody', deadline: soon }),
    jobSpec({ queue: 'nobody', deadline: soon, start: { $case: 'delay', value: { seconds: 3_600, nanos: 0 } } }),
    jobSpec({ queue: 'started', deadline: soon }), jobSpec({ queue: 'started', deadline: soon }));
  const worker = await rpc.worker({ queues: ['started'], jobs: 2 });
  const lease = await worker.lease();
  t.deepEqual(lease.jobs.map(({ id }) => id), [snoozed, runs]);
  await worker.report(lease.token, [{ jobId: snoozed!, outcome: { $case: 'snoozed', value: { delay: { seconds: 3_600, nanos: 0 } } }, followUps: [] }]);
  for (const id of [waits!, paused!]) {
    const job = await rpc.until(id, ({ state }) => state === JobState.CANCELLED, 'it to expire');
    t.is(job.error!.code, 'EXPIRED');
    t.true(job.finishTime!.getTime() - job.startBy!.getTime() < 2_000, 'soon after its time');
  }
  t.is((await rpc.get(snoozed!)).state, JobState.SCHEDULED);
  const { jobs } = await worker.report(lease.token, [succeeded(runs!)]);
  t.is(jobs[0]!.status, ReceiptStatus.ACCEPTED);
});

test('a worker that does not keep the time is told, the attempt has failed, and a later report changes nothing', async (t) => {
  const [id, behind] = await rpc.submit(
    jobSpec({ queue: 'timeout', timeout: { seconds: 0, nanos: 200_000_000 }, maxAttempts: 1 }), jobSpec({ queue: 'timeout' }));
  const worker = await rpc.worker({ queues: ['timeout'], jobs: 2 });
  const lease = await worker.lease();
  const cancel = await worker.next('cancel');
  t.like(cancel, { token: lease.token, jobIds: [id], reason: CancelReason.TIMED_OUT });
  const job = await rpc.get(id!);
  t.is(job.state, JobState.FAILED);
  t.is(job.error!.code, 'TIMEOUT');
  const { jobs } = await worker.report(lease.token, [succeeded(id!), succeeded(behind!)]);
  t.deepEqual(jobs.map(({ status }) => status), [ReceiptStatus.LEASE_LOST, ReceiptStatus.ACCEPTED]);
});
