/** KEDA's external scaler without a coordinator behind it: what it accepts, and what it answers while depths cannot be had. */
import { Metadata } from '@grpc/grpc-js';
import type { handleUnaryCall, ServiceError } from '@grpc/grpc-js';
import test from 'ava';
import { GetMetricsRequest, ScaledObjectRef } from '../../proto/gen/externalscaler/externalscaler.ts';
import { SkipleaseError } from '../../coordinator/errors.ts';
import { checkScaler } from '../../coordinator/rpc/check_scaler.ts';
import { externalScaler } from '../../coordinator/rpc/external_scaler.ts';
import type { ReadDepths } from '../../coordinator/rpc/external_scaler.ts';
import { StatusMapper } from '../../coordinator/rpc/status.ts';
import { UnaryCalls } from '../../coordinator/rpc/unary.ts';
import { activityWatches } from '../../coordinator/rpc/watch_activity.ts';
import { keepLog } from '../support/store_world.ts';
import { refusalOf } from '../support/rpc_clients.ts';

const ref = (scalerMetadata: Record<string, string>) => ScaledObjectRef.create({ name: 'workers', namespace: 'default', scalerMetadata });
const away: ReadDepths = () => Promise.resolve(undefined);

test('the metadata of a trigger, KEDA\'s own keys among them', (t) => {
  t.deepEqual(checkScaler(ref({ queue: 'mail', target: '100', scalerAddress: 'skiplease:7420', enableTLS: 'true' })),
    { queue: 'mail', target: 100, activationTarget: 0, metricName: 'skiplease-mail' });
  t.like(checkScaler(ref({ queue: 'eu/mail:urgent.v2', target: ' 0.5 ', activationTarget: '7.25' })),
    { target: 0.5, activationTarget: 7.25, metricName: 'skiplease-eu-mail-urgent-v2' });
  t.like(checkScaler(ref({ queueFromEnv: 'mail', targetFromEnv: '10' })), { queue: 'mail', target: 10 });
});

for (const [metadata, fields] of [
  [{}, ['queue', 'target']],
  [{ queue: 'two words', target: '1' }, ['queue']],
  [{ queue: 'mail', target: '0' }, ['target']],
  [{ queue: 'mail', target: '-5' }, ['target']],
  [{ queue: 'mail', target: 'many' }, ['target']],
  [{ queue: 'mail', target: 'Infinity' }, ['target']],
  [{ queue: 'mail', target: '1e3' }, ['target']],
  [{ queue: 'mail', target: '1', activationTarget: '-1' }, ['activationTarget']],
  [{ queue: '', target: '', activationTarget: 'x' }, ['queue', 'target', 'activationTarget']],
] as [Record<string, string>, string[]][]) {
  test(`${JSON.stringify(metadata)} is refused, with all that is wrong`, (t) => {
    const error = t.throws(() => checkScaler(ref(metadata)), { instanceOf: SkipleaseError });
    t.is(error.code, 'INVALID_ARGUMENT');
    t.deepEqual(error.violations.map(({ field }) => field), fields.map((field) => `scalerMetadata.${field}`));
  });
}

/** One call of a handler, as grpc-js would make it. */
function ask<Request, Response>(handler: handleUnaryCall<Request, Response>, request: Request): Promise<Response> {
  return new Promise((resolve, reject) => {
    handler({ request, metadata: new Metadata(), getPath: () => '/test', getPeer: () => '127.0.0.1:1' } as never, (error, response) => (error ? reject(Object.assign(new Error('refused'), error)) : resolve(response!)));
  });
}

test('while depths cannot be read it says so, and never that there is nothing to do', async (t) => {
  const statuses = new StatusMapper(keepLog() as never, () => {});
  const scaler = externalScaler({ depths: away, calls: new UnaryCalls(statuses), watchActivity: () => {}, watchMetricSpec: () => {} });
  const scaledObjectRef = ref({ queue: 'mail', target: '10' });
  const asked = [
    ask(scaler.isActive, scaledObjectRef),
    ask(scaler.getMetrics, GetMetricsRequest.create({ scaledObjectRef, metricName: 'skiplease-mail' })),
  ];
  for (const answer of asked) {
    t.like(refusalOf(await t.throwsAsync<ServiceError>(answer as Promise<never>)), { reason: 'QUEUE_DEPTHS_UNREADABLE', retryDelayMs: 1_000 });
  }
  const watch = activityWatches(away);
  await t.throwsAsync(watch.look(watch.idsOf(scaledObjectRef)), { message: /cannot be read now/ });
  t.deepEqual((await ask(scaler.getMetricSpec, scaledObjectRef)).metricSpecs, [{ metricName: 'skiplease-mail', targetSize: 10, targetSizeFloat: 10 }],
    'the target needs no database');
});
