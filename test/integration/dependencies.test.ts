import test from 'ava';
import { v7 as uuidv7 } from 'uuid';
import { AfterPolicy, BlockedReason, JobState } from '../../proto/gen/skiplease/v1/job.ts';
import type { JobSpec } from '../../proto/gen/skiplease/v1/job.ts';
import { call, failedForGood, jobSpec, refused, startRpc, succeeded } from '../support/rpc_clients.ts';
import type { Rpc } from '../support/rpc_clients.ts';

let rpc: Rpc;
test.before(async () => {
  rpc = await startRpc();
});
test.after.always(() => rpc?.stop());

/** A job with an id, after others. */
function after(queue: string, afterJobIds: string[], fields: Partial<JobSpec> = {}): JobSpec {
  return jobSpec({ id: uuidv7(), queue, afterJobIds, ...fields });
}

const isFinal = ({ state }: { state: JobState }) => state === JobState.SUCCEEDED || state === JobState.FAILED || state === JobState.CANCELLED;

test('a small graph in one request runs in its order', async (t) => {
  const [a, b] = [after('diamond', []), after('diamond', [])];
  const c = after('diamond', [a.id, b.id]);
  const d = after('diamond', [c.id, a.id]);
  // Those that are waited for may stand behind.
  await rpc.submit(d, c, b, a);
  t.like(await rpc.get(d.id), { state: JobState.BLOCKED, blockedReason: BlockedReason.DEPENDENCY, afterJobIds: [c.id, a.id], afterPolicy: AfterPolicy.CANCEL });
  const worker = await rpc.worker({ queues: ['diamond'], jobs: 10 });
  const first = await worker.lease();
  t.deepEqual(first.jobs.map(({ id }) => id), [b.id, a.id]);
  await worker.report(first.token, [succeeded(a.id)]);
  t.is((await rpc.get(c.id)).state, JobState.BLOCKED, 'one of two');
  await worker.report(first.token, [succeeded(b.id)]);
  for (const { id } of [c, d]) {
    const lease = await worker.lease();
    t.deepEqual(lease.jobs.map((job) => job.id), [id]);
    await worker.report(lease.token, [succeeded(id)]);
  }
  t.like(await rpc.get(d.id), { state: JobState.SUCCEEDED, blockedReason: 0, afterJobIds: [c.id, a.id] });
  const { jobs } = await call(rpc.jobs, 'listJobs', { queue: 'diamond', type: '', state: 0, batchId: '', errorCode: '', pageSize: 0, pageToken: '', createTimeFrom: undefined, createTimeBefore: undefined } as never);
  t.deepEqual(jobs.flatMap(({ afterJobIds }) => afterJobIds), [], 'lists leave them out');
});

test('a failure cancels what waits for it, and what waits for that; who runs anyway runs', async (t) => {
  const a = after('policy', []);
  const b = after('policy', [a.id]);
  const c = after('policy', [b.id]);
  const d = after('policy', [b.id, c.id], { afterPolicy: AfterPolicy.RUN_ANYWAY });
  await rpc.submit(a, b, c, d);
  const worker = await rpc.worker({ queues: ['policy'], jobs: 10 });
  const lease = await worker.lease();
  await worker.report(lease.token, [failedForGood(a.id, 'X', 'x')]);
  t.deepEqual((await worker.lease()).jobs.map(({ id }) => id), [d.id]);
  t.like(await rpc.get(b.id), { state: JobState.CANCELLED, error: { code: 'AFTER_JOB_FAILED', message: `The job ${a.id}, which it waited for, FAILED.`, details: '' } });
  t.like(await rpc.get(c.id), { state: JobState.CANCELLED, error: { code: 'AFTER_JOB_FAILED', message: `The job ${b.id}, which it waited for, was CANCELLED.`, details: '' } });

  const late = [after('policy', [a.id]), after('policy', [a.id], { afterPolicy: AfterPolicy.RUN_ANYWAY })];
  await rpc.submit(...late);
  t.deepEqual((await worker.lease()).jobs.map(({ id }) => id), [late[1]!.id], 'what failed before is not waited for');
  t.is((await rpc.until(late[0]!.id, isFinal, 'the other to be cancelled')).state, JobState.CANCELLED);
});

test('cancelling: who waits, and who is waited for', async (t) => {
  const a = after('cancelled', []);
  const [b, c] = [after('cancelled', [a.id]), after('cancelled', [a.id])];
  const d = after('cancelled', [b.id], { afterPolicy: AfterPolicy.RUN_ANYWAY });
  await rpc.submit(a, b, c, d);
  const cancel = (id: string) => call(rpc.jobs, 'cancelJobs', { jobIds: [id], reason: 'no', filter: undefined });
  t.is((await cancel(b.id)).jobsCancelled, 1);
  await rpc.until(d.id, ({ state }) => state === JobState.READY, 'the one that runs anyway');
  t.is((await rpc.get(c.id)).state, JobState.BLOCKED);
  await cancel(a.id);
  t.is((await rpc.until(c.id, isFinal, 'the other to be cancelled')).state, JobState.CANCELLED);
});

test('what cannot be is refused, and nothing of it is created', async (t) => {
  const unknown = uuidv7();
  const naming = after('refused', [unknown]);
  const alone = jobSpec({ id: uuidv7(), queue: 'refused' });
  const refusal = await refused(rpc.submit(alone, naming));
  t.like(refusal, { code: 9, reason: 'AFTER_JOB_NOT_FOUND' });
  t.true(refusal.message.includes(`after_job_ids of job ${naming.id} has ${unknown}`));
  t.like(await refused(rpc.get(alone.id)), { code: 5 });

  const [x, y] = [after('refused', []), after('refused', [])];
  x.afterJobIds.push(y.id);
  y.afterJobIds.push(x.id);
  const { violations } = await refused(rpc.submit(alone, x, y));
  t.is(violations[0]!.field, 'jobs[1].after_job_ids');
});

test('a time of its own, a delay and a serial key go together with it', async (t) => {
  const a = after('together', []);
  const b = after('together', [a.id], { start: { $case: 'delay', value: { seconds: 3_600, nanos: 0 } } });
  const c = after('together', [a.id], { start: { $case: 'delay', value: { seconds: 0, nanos: 50_000_000 } }, serialKey: 'x' });
  await rpc.submit(a, b, c);
  const worker = await rpc.worker({ queues: ['together'], jobs: 10 });
  const lease = await worker.lease();
  t.deepEqual(lease.jobs.map(({ id }) => id), [a.id]);
  await worker.report(lease.token, [succeeded(a.id)]);
  t.deepEqual((await worker.lease()).jobs.map(({ id }) => id), [c.id]);
  t.is((await rpc.get(b.id)).state, JobState.SCHEDULED);
});

test('chunks of a stream name jobs of chunks that are not acknowledged yet', async (t) => {
  const stream = rpc.jobs.streamSubmitJobs();
  const answers: { chunk: number; error: unknown }[] = [];
  stream.on('data', (answer: { chunk: number; error: unknown }) => answers.push(answer));
  const ended = new Promise((resolve) => stream.on('end', resolve));
  let before: JobSpec[] = [];
  for (let chunk = 1; chunk <= 20; chunk += 1) {
    const jobs = Array.from({ length: 50 }, (_, index) => after('streamed', before.length === 0 ? [] : [before[index]!.id]));
    stream.write({ chunk, jobs });
    before = jobs;
  }
  stream.end();
  await ended;
  t.deepEqual(answers.map(({ chunk, error }) => [chunk, error]), Array.from({ length: 20 }, (_, index) => [index + 1, undefined]));
  t.is((await rpc.get(before[0]!.id)).state, JobState.BLOCKED);
});

test('follow-ups name each other, and the job that they follow', async (t) => {
  const [id] = await rpc.submit(jobSpec({ queue: 'followed' }));
  const worker = await rpc.worker({ queues: ['followed'], jobs: 1 });
  const lease = await worker.lease();
  const first = after('followed', [id!]);
  const second = after('followed', [first.id]);
  const receipt = await worker.report(lease.token, [{ ...succeeded(id!), followUps: [second, first] }]);
  t.is(receipt.jobs[0]!.status, 1);
  const next = await worker.lease();
  t.deepEqual(next.jobs.map((job) => job.id), [first.id]);
  const missing = await worker.report(next.token, [{ ...succeeded(first.id), followUps: [after('followed', [uuidv7()])] }]);
  t.regex(missing.jobs[0]!.message, /does not exist/);
  await worker.report(next.token, [succeeded(first.id)]);
  t.deepEqual((await worker.lease()).jobs.map((job) => job.id), [second.id]);
});
