import { HorizontalPodAutoscaler, SYNC_PERIOD_SECONDS, type AutoscalerSpec } from '../horizontal_pod_autoscaler.ts';
import type { Point } from '../simulation.ts';

/** The sizes that the simulation of the autoscaler goes through, one after the other, when it is shown the workload of a run. */
export function replay(spec: AutoscalerSpec, points: readonly Point[]): number[] {
  const simulated = new HorizontalPodAutoscaler(spec);
  const sizes = [spec.minReplicas];
  let nextSeconds = SYNC_PERIOD_SECONDS;
  const last = points.at(-1)!;
  // It looks at other moments than Kubernetes did: up to one period later.
  for (const { atSeconds, workload } of [...points, { ...last, atSeconds: last.atSeconds + SYNC_PERIOD_SECONDS }]) {
    if (atSeconds >= nextSeconds) {
      // As Kubernetes does, and no sooner: what it added a period ago would still count.
      nextSeconds = atSeconds + SYNC_PERIOD_SECONDS;
      sizes.push(simulated.sync(atSeconds, sizes.at(-1)!, workload));
    }
  }
  return changes(sizes);
}

/** Each value that is not the one before. */
export function changes(values: readonly number[]): number[] {
  return values.filter((value, index) => value !== values[index - 1]);
}
