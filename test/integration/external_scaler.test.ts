/** KEDA's external scaler on two coordinators: what they answer is the same, whichever is asked. */
import { once } from 'node:events';
import { credentials, status } from '@grpc/grpc-js';
import type { ServiceError } from '@grpc/grpc-js';
import test from 'ava';
import type { ExecutionContext } from 'ava';
import { ExternalScalerClient, ScaledObjectRef } from '../../proto/gen/externalscaler/externalscaler.ts';
import type { GetMetricSpecResponse, IsActiveResponse } from '../../proto/gen/externalscaler/externalscaler.ts';
import type { QueueSettings } from '../../proto/gen/skiplease/v1/queue_service.ts';
import { waitFor } from '../support/wait.ts';
import { call, jobSpec, refused, refusalOf, startRpc, succeeded } from '../support/rpc_clients.ts';
import type { Rpc } from '../support/rpc_clients.ts';

const DEADLINE_MS = 15_000;

let rpc: Rpc;
let other: Rpc;
let scalers: ExternalScalerClient[];
test.before(async () => {
  rpc = await startRpc();
  other = await startRpc({}, rpc.databaseUrl);
  scalers = [rpc, other].map(({ coordinator }) => new ExternalScalerClient(coordinator.grpcAddress, credentials.createInsecure()));
});
test.after.always(async () => {
  scalers?.forEach((scaler) => scaler.close());
  await other?.stop();
  await rpc?.stop();
});

const trigger = (queue: string, more: Record<string, string> = {}) =>
  ScaledObjectRef.create({ name: 'workers', namespace: 'default', scalerMetadata: { queue, target: '2.5', ...more } });

/** Waits until both coordinators say that the queue has so much work, and call it active accordingly. */
async function untilWorkload(t: ExecutionContext, queue: string, jobs: number): Promise<void> {
  for (const scaler of scalers) {
    await waitFor(async () => {
      const { metricValues } = await call(scaler, 'getMetrics', { scaledObjectRef: trigger(queue), metricName: `skiplease-${queue}` });
      return metricValues[0]!.metricValueFloat === jobs && metricValues[0]!.metricValue === jobs;
    }, { deadlineMs: DEADLINE_MS, what: `a workload of ${jobs}` });
    t.is((await call(scaler, 'isActive', trigger(queue))).result, jobs > 0);
  }
}

async function update(queue: string, settings: Partial<QueueSettings>): Promise<void> {
  await call(rpc.queues, 'updateQueue', { queue, settings: { leaseJobsMax: undefined, retryPolicy: undefined, ...settings } });
}

test('the workload: ready and leased, without what waits for its time, a limit or a pause; and zero once it is done', async (t) => {
  await untilWorkload(t, 'letters', 0);
  const ids = await rpc.submit(
    ...Array.from({ length: 6 }, () => jobSpec({ queue: 'letters' })),
    jobSpec({ queue: 'letters', start: { $case: 'delay', value: { seconds: 3_600, nanos: 0 } } }),
    jobSpec({ queue: 'letters', serialKey: 'one' }), jobSpec({ queue: 'letters', serialKey: 'one' }),
  );
  await untilWorkload(t, 'letters', 7);
  const worker = await rpc.worker({ queues: ['letters'], jobs: 4 });
  const lease = await worker.lease();
  await untilWorkload(t, 'letters', 7);
  await call(rpc.queues, 'pauseQueue', { queue: 'letters' });
  await untilWorkload(t, 'letters', lease.jobs.length);
  await call(rpc.queues, 'resumeQueue', { queue: 'letters' });
  await update('letters', { limit: { runningMax: 5, rate: undefined } });
  await untilWorkload(t, 'letters', 5);
  await update('letters', { limit: { runningMax: 0, rate: undefined } });
  await call(rpc.jobs, 'cancelJobs', { jobIds: ids.filter((id) => !lease.jobs.some((job) => job.id === id)), reason: 'enough', filter: undefined });
  await untilWorkload(t, 'letters', lease.jobs.length);
  await worker.report(lease.token, lease.jobs.map(({ id }) => succeeded(id)));
  await untilWorkload(t, 'letters', 0);
  worker.cut();
});

test('the metrics show the same', async (t) => {
  await rpc.submit(jobSpec({ queue: 'shown' }), jobSpec({ queue: 'shown' }));
  await waitFor(async () => (await (await fetch(`http://${other.coordinator.httpAddress}/metrics`)).text()).includes('skiplease_workload_jobs{queue="shown"} 2\n'),
    { deadlineMs: DEADLINE_MS, what: 'the gauge' });
  t.pass();
});

test('what is measured, and with which target', async (t) => {
  const { metricSpecs } = await call(scalers[0]!, 'getMetricSpec', trigger('letters'));
  t.deepEqual(metricSpecs, [{ metricName: 'skiplease-letters', targetSize: 3, targetSizeFloat: 2.5 }]);
  t.like((await call(scalers[0]!, 'getMetricSpec', trigger('letters', { target: '0.2' }))).metricSpecs[0], { targetSize: 1, targetSizeFloat: 0.2 });
  const stream = scalers[1]!.streamMetricSpec(trigger('letters'));
  stream.on('error', () => {});
  t.deepEqual((await once(stream, 'data') as [GetMetricSpecResponse])[0].metricSpecs, metricSpecs, 'the same, on a stream');
  stream.cancel();
});

test('a stream tells when work comes and has run out, also beyond an activation target', async (t) => {
  const heard = (more: Record<string, string>) => {
    const results: boolean[] = [];
    const stream = scalers[1]!.streamIsActive(trigger('pushed', more));
    stream.on('data', ({ result }: IsActiveResponse) => results.push(result));
    stream.on('error', () => {});
    t.teardown(() => stream.cancel());
    return (...expected: boolean[]) => waitFor(() => results.join() === expected.join(), { deadlineMs: DEADLINE_MS, what: expected.join() });
  };
  const [any, more] = [heard({}), heard({ activationTarget: '2' })];
  await Promise.all([any(false), more(false)]);
  const first = await rpc.submit(jobSpec({ queue: 'pushed' }), jobSpec({ queue: 'pushed' }));
  await any(false, true);
  const second = await rpc.submit(jobSpec({ queue: 'pushed' }));
  await more(false, true);
  await call(rpc.jobs, 'cancelJobs', { jobIds: [...first, ...second], reason: 'enough', filter: undefined });
  await Promise.all([any(false, true, false), more(false, true, false)]);
  t.pass();
});

test('what is wrong with a trigger is said, field by field', async (t) => {
  const [scaler] = scalers;
  const bad = ScaledObjectRef.create({ scalerMetadata: { queue: 'two words', target: 'many' } });
  for (const refusal of [
    await refused(call(scaler!, 'isActive', bad)),
    await refused(call(scaler!, 'getMetricSpec', bad)),
    await new Promise<ReturnType<typeof refusalOf>>((resolve) => {
      scaler!.streamIsActive(bad).on('data', () => {}).on('error', (error: Error) => resolve(refusalOf(error as ServiceError)));
    }),
  ]) {
    t.is(refusal.code, status.INVALID_ARGUMENT);
    t.deepEqual(refusal.violations.map(({ field }) => field), ['scalerMetadata.queue', 'scalerMetadata.target']);
  }
  const asked = { scaledObjectRef: trigger('mail'), metricName: 'skiplease-letters' };
  t.deepEqual((await refused(call(scaler!, 'getMetrics', asked))).violations.map(({ field }) => field), ['metricName']);
  t.deepEqual((await refused(call(scaler!, 'getMetrics', { scaledObjectRef: undefined, metricName: '' }))).violations.map(({ field }) => field),
    ['scaledObjectRef.scalerMetadata.queue', 'scaledObjectRef.scalerMetadata.target']);
});
