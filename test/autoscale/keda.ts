import { HorizontalPodAutoscaler, type AutoscalerSpec } from './horizontal_pod_autoscaler.ts';

/** What a ScaledObject of one trigger says. */
export interface ScaledObjectSpec {
  autoscaler: AutoscalerSpec;
  minReplicaCount: number;
  /** How long nothing must be to do before the last worker is sent home. */
  cooldownSeconds: number;
}

/**
 * KEDA as its documentation tells it: from none to some, and back, by whether the scaler is active; in between by the
 * HorizontalPodAutoscaler that it makes.
 */
export class Keda {
  readonly #spec: ScaledObjectSpec;
  readonly #autoscaler: HorizontalPodAutoscaler;
  #activeAtSeconds = -Infinity;

  constructor(spec: ScaledObjectSpec) {
    this.#spec = spec;
    this.#autoscaler = new HorizontalPodAutoscaler(spec.autoscaler);
  }

  /** Whenever the scaler is asked, and whenever it tells by itself: how many replicas there should be. */
  activity(nowSeconds: number, current: number, active: boolean): number {
    const { minReplicaCount, cooldownSeconds } = this.#spec;
    if (active) {
      this.#activeAtSeconds = nowSeconds;
      return current === 0 ? Math.max(1, minReplicaCount) : current;
    }
    return minReplicaCount === 0 && nowSeconds - this.#activeAtSeconds > cooldownSeconds ? 0 : current;
  }

  sync(nowSeconds: number, current: number, metric: number | undefined): number {
    return this.#autoscaler.sync(nowSeconds, current, metric);
  }
}
