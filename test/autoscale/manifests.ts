import { readFile } from 'node:fs/promises';
import type { AutoscalerSpec, ScalingRules } from './horizontal_pod_autoscaler.ts';
import type { ScaledObjectSpec } from './keda.ts';

const COMPONENTS = new URL('../../deploy/k8s/components/', import.meta.url);
export type Component = 'prometheus-adapter' | 'keda-prometheus' | 'keda-external';

/** How fast replicas change, in all three ways of scaling: a test looks for just this in each manifest. */
export const BEHAVIOR: { scaleUp: ScalingRules; scaleDown: ScalingRules } = {
  scaleUp: {
    stabilizationWindowSeconds: 0,
    selectPolicy: 'Max',
    policies: [{ type: 'Percent', value: 100, periodSeconds: 15 }, { type: 'Pods', value: 4, periodSeconds: 15 }],
  },
  scaleDown: {
    stabilizationWindowSeconds: 300,
    selectPolicy: 'Max',
    policies: [{ type: 'Percent', value: 25, periodSeconds: 60 }, { type: 'Pods', value: 1, periodSeconds: 60 }],
  },
};

/** That, as a manifest has it: its lines, without their indentation. */
export function behaviorLines({ scaleUp, scaleDown }: typeof BEHAVIOR): string[] {
  const rules = (name: string, { stabilizationWindowSeconds, selectPolicy, policies }: ScalingRules) => [
    `${name}:`, `stabilizationWindowSeconds: ${stabilizationWindowSeconds}`, `selectPolicy: ${selectPolicy}`, 'policies:',
    ...policies.flatMap(({ type, value, periodSeconds }) => [`- type: ${type}`, `value: ${value}`, `periodSeconds: ${periodSeconds}`]),
  ];
  return ['behavior:', ...rules('scaleUp', scaleUp), ...rules('scaleDown', scaleDown)];
}

/** The lines of a component's file, without comments and indentation. */
export async function manifestLines(component: Component, file = 'worker_autoscaler.yaml'): Promise<string[]> {
  const text = await readFile(new URL(`${component}/${file}`, COMPONENTS), 'utf8');
  return text.split('\n').map((line) => line.trim()).filter((line) => line !== '' && !line.startsWith('#'));
}

/** What stands after `key: `, the first time that it is there. */
export function valueOf(lines: readonly string[], key: string): string | undefined {
  const line = lines.find((candidate) => candidate.replace(/^- /, '').startsWith(`${key}: `));
  return line?.slice(line.indexOf(': ') + 2).replace(/^"(.*)"$/, '$1');
}

/** The HorizontalPodAutoscaler that stands on Prometheus' adapter. */
export async function horizontalPodAutoscaler(): Promise<AutoscalerSpec> {
  const lines = await manifestLines('prometheus-adapter');
  const number = (key: string) => Number(valueOf(lines, key));
  return { ...BEHAVIOR, minReplicas: number('minReplicas'), maxReplicas: number('maxReplicas'), averageValue: number('averageValue') };
}

/** A ScaledObject of KEDA. */
export async function scaledObject(component: 'keda-prometheus' | 'keda-external'): Promise<ScaledObjectSpec> {
  const lines = await manifestLines(component);
  const number = (key: string) => Number(valueOf(lines, key));
  const minReplicaCount = number('minReplicaCount');
  const averageValue = number(component === 'keda-external' ? 'target' : 'threshold');
  // KEDA's HorizontalPodAutoscaler never goes below one: it is KEDA that goes to none.
  const autoscaler = { ...BEHAVIOR, minReplicas: Math.max(1, minReplicaCount), maxReplicas: number('maxReplicaCount'), averageValue };
  return { autoscaler, minReplicaCount, cooldownSeconds: number('cooldownPeriod') };
}
