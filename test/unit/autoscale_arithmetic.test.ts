/** The autoscalers of deploy/k8s, as their manifests have them, with the arithmetic of Kubernetes and KEDA. */
import test from 'ava';
import { checkScaler } from '../../coordinator/rpc/check_scaler.ts';
import { ScaledObjectRef } from '../../proto/gen/externalscaler/externalscaler.ts';
import { HorizontalPodAutoscaler, SYNC_PERIOD_SECONDS } from '../autoscale/horizontal_pod_autoscaler.ts';
import type { AutoscalerSpec, ScalingRules } from '../autoscale/horizontal_pod_autoscaler.ts';
import { Keda } from '../autoscale/keda.ts';
import { BEHAVIOR, behaviorLines, horizontalPodAutoscaler, manifestLines, scaledObject, valueOf } from '../autoscale/manifests.ts';

const AT_ONCE: ScalingRules = { stabilizationWindowSeconds: 0, selectPolicy: 'Max', policies: [{ type: 'Percent', value: 1_000_000, periodSeconds: 1 }] };
const DOWN_AT_ONCE: ScalingRules = { ...AT_ONCE, policies: [{ type: 'Percent', value: 100, periodSeconds: 1 }] };
const spec = (fields: Partial<AutoscalerSpec> = {}): AutoscalerSpec =>
  ({ minReplicas: 1, maxReplicas: 100, averageValue: 10, scaleUp: AT_ONCE, scaleDown: DOWN_AT_ONCE, ...fields });

/** Looks at these values one after the other, each a sync period after the last; the replicas after each. */
function looks(autoscaler: HorizontalPodAutoscaler, values: (number | undefined)[], replicas = 1): number[] {
  let current = replicas;
  return values.map((value, index) => (current = autoscaler.sync(index * SYNC_PERIOD_SECONDS, current, value)));
}

for (const [what, fields, current, values, replicas] of [
  ['the value over the target, rounded up', {}, 1, [95], [10]],
  ['no change within the tolerance', {}, 10, [91, 109, 115], [10, 10, 12]],
  ['zero: the least', {}, 10, [0], [1]],
  ['at most the most', { maxReplicas: 7 }, 1, [95], [7]],
  ['no value: no change', {}, 10, [undefined], [10]],
  ['none at all: switched off', {}, 0, [95], [0]],
  ['above its most', { maxReplicas: 7 }, 9, [undefined], [7]],
  ['below its least', { minReplicas: 3 }, 1, [undefined], [3]],
  ['doubled in each period, or four more', { scaleUp: { ...AT_ONCE, policies: [{ type: 'Percent', value: 100, periodSeconds: 15 }, { type: 'Pods', value: 4, periodSeconds: 15 }] } },
    1, [900, 900, 900, 900, 900, 900], [5, 10, 20, 40, 80, 90]],
  ['the least of the policies', { scaleUp: { ...AT_ONCE, selectPolicy: 'Min', policies: [{ type: 'Percent', value: 100, periodSeconds: 15 }, { type: 'Pods', value: 4, periodSeconds: 15 }] } },
    1, [900, 900, 900, 900], [2, 4, 8, 12]],
  ['never in this direction', { scaleDown: { ...DOWN_AT_ONCE, selectPolicy: 'Disabled' } }, 9, [0, 0], [9, 9]],
  ['a quarter in a minute', { scaleDown: { ...DOWN_AT_ONCE, policies: [{ type: 'Percent', value: 25, periodSeconds: 60 }] } },
    16, [0, 0, 0, 0, 0], [12, 12, 12, 12, 9]],
  ['down by the most of the last minute', { scaleDown: { ...DOWN_AT_ONCE, stabilizationWindowSeconds: 60 } }, 9, [90, 20, 50, 0, 0, 0, 0], [9, 9, 9, 9, 5, 5, 1]],
  ['up by the least of the last half minute', { scaleUp: { ...AT_ONCE, stabilizationWindowSeconds: 30 } }, 1, [10, 90, 50, 90], [1, 1, 5, 5]],
] as const) {
  test(`the autoscaler: ${what}`, (t) => {
    t.deepEqual(looks(new HorizontalPodAutoscaler(spec(fields as Partial<AutoscalerSpec>)), [...values], current), [...replicas]);
  });
}

test('KEDA: from none at the first job, to none after the cooldown', (t) => {
  const keda = new Keda({ autoscaler: spec(), minReplicaCount: 0, cooldownSeconds: 300 });
  t.is(keda.activity(0, 0, false), 0);
  t.is(keda.activity(10, 0, true), 1);
  t.is(keda.sync(15, 1, 95), 10);
  t.is(keda.activity(20, 10, false), 10);
  t.is(keda.activity(310, 1, false), 1);
  t.is(keda.activity(311, 1, false), 0);
});

test('by Prometheus\' adapter: the metric of the coordinators, of any namespace, the largest of what they say, for each worker', async (t) => {
  const lines = await manifestLines('prometheus-adapter');
  t.is(valueOf(lines, 'type'), 'External');
  t.is(valueOf(lines, 'name'), 'skiplease-payments-worker', 'the alert on an autoscaler at its maximum knows ours by their names');
  const target = lines.slice(lines.indexOf('metric:'));
  t.like(target, ['metric:', 'name: skiplease_workload_jobs', 'selector:', 'matchLabels:', 'queue: payments', 'target:', 'type: AverageValue']);
  const rule = await manifestLines('prometheus-adapter', 'adapter-values.yaml');
  t.is(valueOf(rule, 'as'), 'skiplease_workload_jobs');
  t.is(valueOf(rule, 'namespaced'), 'false');
  t.regex(valueOf(rule, 'metricsQuery')!, /^max by \(queue\) \(<<\.Series>>\{<<\.LabelMatchers>>\} and on \(instance\) .* < 30\)$/);
  const autoscaler = await horizontalPodAutoscaler();
  t.deepEqual(looks(new HorizontalPodAutoscaler(autoscaler), [1_900, 30_000, 30_000, 30_000, 30_000]), [1, 5, 10, 15, 15]);
  const down = looks(new HorizontalPodAutoscaler(autoscaler), Array.from({ length: 24 }, (_, look) => (look === 0 ? 40_000 : 0)), 20);
  t.deepEqual(down.slice(0, 20), Array.from({ length: 20 }, () => 20), 'five minutes without a change');
  t.deepEqual(down.slice(20), [15, 15, 15, 15]);
});

test('by KEDA\'s prometheus trigger: likewise, and a queue that is not there goes through zero', async (t) => {
  const lines = await manifestLines('keda-prometheus');
  t.true(lines.includes('- type: prometheus'));
  t.is(valueOf(lines, 'metricType'), 'AverageValue');
  t.regex(valueOf(lines, 'query')!, /^max\(skiplease_workload_jobs\{queue="payments"\} and on \(instance\) .*\) or min\(.*\) \* 0$/);
  t.is(valueOf(lines, 'ignoreNullValues'), 'false', 'an outage is not an empty queue');
  const { autoscaler, minReplicaCount } = await scaledObject('keda-prometheus');
  t.is(minReplicaCount, 0);
  t.deepEqual(looks(new HorizontalPodAutoscaler(autoscaler), [30_000, 30_000, 30_000]), [5, 10, 15]);
});

test('by KEDA\'s external-push trigger: the coordinators take its metadata', async (t) => {
  const lines = await manifestLines('keda-external');
  t.true(lines.includes('- type: external-push'));
  t.is(valueOf(lines, 'metricType'), 'AverageValue');
  const scalerMetadata = Object.fromEntries(['scalerAddress', 'queue', 'target', 'activationTarget'].map((key) => [key, valueOf(lines, key)!]));
  const { autoscaler } = await scaledObject('keda-external');
  t.deepEqual(checkScaler(ScaledObjectRef.create({ name: 'payments-worker', namespace: 'skiplease', scalerMetadata })),
    { queue: 'payments', target: autoscaler.averageValue, activationTarget: 0, metricName: 'skiplease-payments' });
  t.deepEqual(looks(new HorizontalPodAutoscaler(autoscaler), [30_000, 30_000, 30_000]), [5, 10, 15]);
});

test('all three scale alike, as is tested here', async (t) => {
  for (const component of ['prometheus-adapter', 'keda-prometheus', 'keda-external'] as const) {
    const lines = await manifestLines(component);
    t.deepEqual(lines.slice(lines.indexOf('behavior:')), behaviorLines(BEHAVIOR), component);
  }
  const { minReplicas: _least, ...adapter } = await horizontalPodAutoscaler();
  for (const component of ['keda-prometheus', 'keda-external'] as const) {
    const { minReplicas: _none, ...keda } = (await scaledObject(component)).autoscaler;
    t.deepEqual(keda, adapter);
  }
});
