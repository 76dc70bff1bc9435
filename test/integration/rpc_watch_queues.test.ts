/** WatchQueues, and watches of one coordinator while another does the work. */
import { credentials, status } from '@grpc/grpc-js';
import type { ClientReadableStream, ServiceError } from '@grpc/grpc-js';
import test from 'ava';
import { JobState } from '../../proto/gen/skiplease/v1/job.ts';
import { JobServiceClient } from '../../proto/gen/skiplease/v1/job_service.ts';
import type { WatchJobResponse } from '../../proto/gen/skiplease/v1/job_service.ts';
import { ConditionKind } from '../../proto/gen/skiplease/v1/queue_service.ts';
import type { Queue, WatchQueuesResponse } from '../../proto/gen/skiplease/v1/queue_service.ts';
import { startTcpProxy } from '../support/tcp_proxy.ts';
import { waitFor } from '../support/wait.ts';
import { call, data, jobSpec, refusalOf, startRpc, succeeded } from '../support/rpc_clients.ts';
import type { Rpc } from '../support/rpc_clients.ts';

const DEADLINE_MS = 15_000;

/** Does the work. */
let worker: Rpc;
/** Is watched at. */
let watched: Rpc;
test.before(async () => {
  worker = await startRpc();
  watched = await startRpc({}, worker.databaseUrl);
});
test.after.always(async () => {
  await watched?.stop();
  await worker?.stop();
});

/** What a stream was sent so far, and how it ended. */
function reading<Response>(stream: ClientReadableStream<Response>) {
  const received: Response[] = [];
  let error: ServiceError | undefined;
  stream.on('data', (response: Response) => received.push(response));
  stream.on('error', (reason: ServiceError) => {
    error = reason;
  });
  return {
    stream,
    received,
    until: (condition: () => boolean, what: string) => waitFor(condition, { deadlineMs: DEADLINE_MS, what }),
    refusal: async () => refusalOf(await waitFor(() => error, { deadlineMs: DEADLINE_MS, what: 'a refusal' })),
  };
}

function watchQueues(from: Rpc, ...queues: string[]) {
  const watch = reading<WatchQueuesResponse>(from.queues.watchQueues({ queues }));
  const last = (name: string): Queue | undefined => watch.received.findLast(({ queue }) => queue!.name === name)?.queue;
  return { ...watch, last };
}

const kinds = (queue: Queue | undefined) => queue?.conditions.map(({ kind }) => kind);

test('queues are shown as they are, then each as it changes, though another coordinator does the work', async (t) => {
  await worker.submit(jobSpec({ queue: 'seen' }), jobSpec({ queue: 'seen' }), jobSpec({ queue: 'quiet' }));
  const watch = watchQueues(watched, 'seen', 'quiet', 'seen');
  await watch.until(() => watch.received.length === 2, 'the first states');
  t.like(watch.last('seen')!.depth, { ready: 2, leased: 0 });
  t.true(kinds(watch.last('seen'))!.includes(ConditionKind.NO_WORKER));

  const hand = await worker.worker({ queues: ['seen'], jobs: 2 });
  const lease = await hand.lease();
  await watch.until(() => watch.last('seen')!.depth!.leased === 2, 'two leased');
  t.like(watch.last('seen')!.depth, { ready: 0, oldestReadyAge: undefined });
  await hand.report(lease.token, [succeeded(lease.jobs[0]!.id), succeeded(lease.jobs[1]!.id)]);
  await watch.until(() => watch.last('seen')!.depth!.leased === 0, 'both done');
  await call(worker.queues, 'pauseQueue', { queue: 'seen' });
  await watch.until(() => watch.last('seen')!.paused, 'the pause');
  t.true(kinds(watch.last('seen'))!.includes(ConditionKind.PAUSED));
  await call(worker.queues, 'updateQueue', { queue: 'seen', settings: { leaseJobsMax: 7, retryPolicy: undefined } });
  await watch.until(() => watch.last('seen')!.settings!.leaseJobsMax === 7, 'the setting');
  t.is(watch.received.filter(({ queue }) => queue!.name === 'quiet').length, 1, 'what did not change is not repeated');
  t.deepEqual(watch.last('quiet')!.depth!.ready, 1);
  hand.cut();
  watch.stream.cancel();
});

test('a slow reader is sent the newest state when it reads on, and not what came in between', async (t) => {
  const [jobId] = await worker.submit(jobSpec({ queue: 'slow', payload: data('x'.repeat(700_000)) }));
  const hand = await worker.worker({ queues: ['slow'], jobs: 1 });
  const lease = await hand.lease();
  const proxy = await startTcpProxy(watched.coordinator.grpcAddress);
  const client = new JobServiceClient(proxy.address, credentials.createInsecure());
  const slow = reading<WatchJobResponse>(client.watchJob({ jobId: jobId! }));
  const quick = reading<WatchJobResponse>(watched.jobs.watchJob({ jobId: jobId! }));
  const percent = ({ received }: typeof quick) => received.at(-1)?.job?.progress?.percent;
  await quick.until(() => quick.received.length + slow.received.length === 2, 'the first states');
  proxy.trickle(1_000);
  for (let round = 1; round <= 6; round += 1) {
    hand.say({ $case: 'progress', value: { token: lease.token, jobId: jobId!, percent: round, note: `step ${round}`, checkpoint: undefined } });
    await quick.until(() => percent(quick) === round, `step ${round}`);
  }
  proxy.trickle(Infinity);
  await slow.until(() => percent(slow) === 6, 'the newest state');
  const shown = slow.received.map(({ job }) => job!.progress?.percent ?? 0);
  t.true(shown.length <= 3, `the first, the one that was on its way, and the newest: ${shown.join(', ')}`);
  t.deepEqual(shown, shown.toSorted((one, other) => one - other), 'never backwards');
  t.deepEqual(quick.received.map(({ job }) => job!.progress?.note ?? ''), ['', ...Array.from({ length: 6 }, (_, step) => `step ${step + 1}`)]);
  await hand.report(lease.token, [succeeded(jobId!)]);
  await slow.until(() => slow.received.at(-1)!.job!.state === JobState.SUCCEEDED, 'the end');
  hand.cut();
  client.close();
  await proxy.close();
});

test('progress is written at a bounded rate, the last word always, and is seen by who watches elsewhere', async (t) => {
  const [jobId] = await worker.submit(jobSpec({ queue: 'progress' }));
  const hand = await worker.worker({ queues: ['progress'], jobs: 1 });
  const lease = await hand.lease();
  const watch = reading<WatchJobResponse>(watched.jobs.watchJob({ jobId: jobId! }));
  await watch.until(() => watch.received.length === 1, 'the first state');
  const writes = async () => Number(/^skiplease_statements_total\{statement="save_progress"\} (\d+)/m.exec(
    await (await fetch(`http://${worker.coordinator.httpAddress}/metrics`)).text())?.[1] ?? 0);
  const before = await writes();
  const startedAt = performance.now();
  for (let step = 1; step <= 1_000; step += 1) {
    hand.say({ $case: 'progress', value: { token: lease.token, jobId: jobId!, percent: step / 10, note: String(step), checkpoint: undefined } });
  }
  await watch.until(() => watch.received.at(-1)!.job!.progress?.note === '1000', 'the last word');
  const written = (await writes()) - before;
  t.true(written <= 1 + (performance.now() - startedAt) / 200, `${written} writes`);
  t.like((await watched.get(jobId!)).progress, { percent: 100, note: '1000', hasCheckpoint: false });
  const shown = watch.received.map(({ job }) => job!.progress?.percent ?? 0);
  t.deepEqual(shown, shown.toSorted((one, other) => one - other));
  await hand.report(lease.token, [succeeded(jobId!)]);
  hand.cut();
});

test('what cannot be watched is refused', async (t) => {
  await worker.submit(jobSpec({ queue: 'there' }));
  t.like(await watchQueues(watched, 'there', 'nowhere').refusal(), { code: status.NOT_FOUND, reason: 'QUEUE_NOT_FOUND' });
  for (const [queues, field] of [[[], 'queues'], [Array.from({ length: 101 }, () => 'there'), 'queues'], [['there', 'two words'], 'queues[1]']] as const) {
    const { code, violations } = await watchQueues(watched, ...queues).refusal();
    t.deepEqual([code, violations.map((violation) => violation.field)], [status.INVALID_ARGUMENT, [field]]);
  }
});

test('a coordinator that goes away ends its watches with UNAVAILABLE', async (t) => {
  const third = await startRpc({ SKIPLEASE_DRAIN_DEADLINE_MS: '0' }, worker.databaseUrl);
  const [jobId] = await worker.submit(jobSpec({ queue: 'ending' }));
  const queues = watchQueues(third, 'ending');
  const job = reading<WatchJobResponse>(third.jobs.watchJob({ jobId: jobId! }));
  await queues.until(() => queues.received.length + job.received.length === 2, 'the first states');
  third.coordinator.kill('SIGTERM');
  for (const watch of [queues, job]) {
    t.like(await watch.refusal(), { code: status.UNAVAILABLE, reason: 'SHUTTING_DOWN' });
  }
  t.is(await third.coordinator.exited, 0);
  await third.stop();
});
