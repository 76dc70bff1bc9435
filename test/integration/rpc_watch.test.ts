import { status } from '@grpc/grpc-js';
import type { ServiceError } from '@grpc/grpc-js';
import test from 'ava';
import pg from 'pg';
import { JobState } from '../../proto/gen/skiplease/v1/job.ts';
import type { Job } from '../../proto/gen/skiplease/v1/job.ts';
import type { WatchJobResponse } from '../../proto/gen/skiplease/v1/job_service.ts';
import { CancelJobsRequest } from '../../proto/gen/skiplease/v1/job_service.ts';
import { newJobId } from '../../coordinator/rpc/ids.ts';
import { waitFor } from '../support/wait.ts';
import { call, data, jobSpec, refusalOf, startRpc, succeeded } from '../support/rpc_clients.ts';
import type { Rpc } from '../support/rpc_clients.ts';

let rpc: Rpc;
test.before(async () => {
  rpc = await startRpc();
});
test.after.always(() => rpc?.stop());

/** Watches a job: what was shown so far, and how it ended. */
function watch(jobId: string) {
  const stream = rpc.jobs.watchJob({ jobId });
  const shown: Job[] = [];
  let error: ServiceError | undefined;
  let ended = false;
  stream.on('data', ({ job }: WatchJobResponse) => shown.push(job!));
  stream.on('error', (reason: ServiceError) => {
    error = reason;
  });
  stream.on('end', () => {
    ended = true;
  });
  return {
    shown,
    until: (condition: () => boolean, what: string) => waitFor(condition, { deadlineMs: 15_000, what }),
    ended: () => waitFor(() => ended, { deadlineMs: 15_000, what: 'the watch to end' }),
    refusal: async () => refusalOf(await waitFor(() => error, { deadlineMs: 15_000, what: 'a refusal' })),
    cancel: () => stream.cancel(),
  };
}

test('a watch shows the job as it is, then as it moves, and ends with it', async (t) => {
  const [jobId] = await rpc.submit(jobSpec({ queue: 'watch', payload: data('p') }));
  const watched = watch(jobId!);
  await watched.until(() => watched.shown.length === 1, 'the first state');
  t.like(watched.shown[0]!, { id: jobId, state: JobState.READY, attempt: 0 });
  t.deepEqual(watched.shown[0]!.payload!.content, { $case: 'data', value: Buffer.from('p') });

  const worker = await rpc.worker({ queues: ['watch'], workerId: 'w' });
  const lease = await worker.lease();
  await watched.until(() => watched.shown.at(-1)!.state === JobState.LEASED, 'leased');
  t.is(watched.shown.at(-1)!.workerId, 'w');
  worker.say({ $case: 'progress', value: { token: lease.token, jobId: jobId!, percent: 50, note: 'half', checkpoint: undefined } });
  await watched.until(() => watched.shown.at(-1)!.progress?.percent === 50, 'progress');
  await worker.report(lease.token, [succeeded(jobId!, data('r'))]);
  await watched.ended();
  t.deepEqual(watched.shown.map(({ state }) => state), [JobState.READY, JobState.LEASED, JobState.LEASED, JobState.SUCCEEDED]);
  t.deepEqual(watched.shown.at(-1)!.result!.content, { $case: 'data', value: Buffer.from('r') });

  const late = watch(jobId!);
  await late.ended();
  t.deepEqual(late.shown.map(({ state }) => state), [JobState.SUCCEEDED]);
  worker.cut();
});

test('what cannot be watched is refused', async (t) => {
  t.like(await watch(newJobId(Date.now())).refusal(), { code: status.NOT_FOUND, reason: 'JOB_NOT_FOUND' });
  t.deepEqual((await watch('x').refusal()).violations.map(({ field }) => field), ['job_id']);
});

test('many watches are one statement, and each sees its own job end', async (t) => {
  const ids = await rpc.submit(...Array.from({ length: 60 }, () => jobSpec({ queue: 'watch-many' })));
  const watches = ids.map((id) => watch(id));
  await waitFor(() => watches.every(({ shown }) => shown.length > 0), { deadlineMs: 15_000, what: 'every first state' });
  t.deepEqual(watches.map(({ shown }) => shown[0]!.id), ids);
  const { results } = await call(rpc.jobs, 'cancelJobs', CancelJobsRequest.create({ jobIds: ids, reason: 'enough' }));
  t.is(results.length, 60);
  await Promise.all(watches.map((watched) => watched.ended()));
  t.true(watches.every(({ shown }) => shown.at(-1)!.state === JobState.CANCELLED && shown.at(-1)!.error!.message === 'enough'));
});

test('while nobody watches, nobody looks', async (t) => {
  const [jobId] = await rpc.submit(jobSpec({ queue: 'watch-rest' }));
  const watched = watch(jobId!);
  await watched.until(() => watched.shown.length === 1, 'the first state');
  const client = new pg.Client({ connectionString: rpc.databaseUrl });
  await client.connect();
  const looking = async () => (await client.query(
    `select 1 from pg_stat_activity where datname = current_database() and query like '%select distinct id from unnest%' and query_start > clock_timestamp() - interval '1 second'
       and pid <> pg_backend_pid()`)).rowCount! > 0;
  await waitFor(looking, { deadlineMs: 20_000, what: 'the poller to look' });
  watched.cancel();
  await waitFor(async () => !(await looking()), { deadlineMs: 20_000, what: 'the poller to rest' });
  await client.end();
  t.pass();
});
