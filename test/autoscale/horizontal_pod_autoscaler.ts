/** One way to bound how fast replicas change. */
export interface ScalingPolicy {
  type: 'Pods' | 'Percent';
  value: number;
  periodSeconds: number;
}

/** How fast, in one direction. */
export interface ScalingRules {
  stabilizationWindowSeconds: number;
  selectPolicy: 'Max' | 'Min' | 'Disabled';
  policies: readonly ScalingPolicy[];
}

/** What a HorizontalPodAutoscaler of one external metric says, with the defaults filled in. */
export interface AutoscalerSpec {
  minReplicas: number;
  maxReplicas: number;
  /** Of the metric, for each replica. */
  averageValue: number;
  scaleUp: ScalingRules;
  scaleDown: ScalingRules;
}

/** How often the controller looks, unless its flags say otherwise. */
export const SYNC_PERIOD_SECONDS = 15;
/** No change while the ratio of the metric to its target is so near to one, likewise. */
export const TOLERANCE = 0.1;

interface Moment {
  atSeconds: number;
  replicas: number;
}

/**
 * The algorithm of Kubernetes' HorizontalPodAutoscaler (autoscaling/v2) as its documentation tells it, for one external metric with an
 * AverageValue: ratio and tolerance, stabilisation windows, policies, bounds.
 */
export class HorizontalPodAutoscaler {
  readonly #spec: AutoscalerSpec;
  /** What each look recommended, before the windows. */
  #recommended: Moment[] = [];
  /** By how much replicas were changed, and when. */
  #added: Moment[] = [];
  #removed: Moment[] = [];

  constructor(spec: AutoscalerSpec) {
    this.#spec = spec;
  }

  /** One look: how many replicas there should be. `metric` undefined: it could not be had, and nothing changes. */
  sync(nowSeconds: number, current: number, metric: number | undefined): number {
    const { minReplicas, maxReplicas } = this.#spec;
    let desired: number;
    if (current === 0) {
      return 0;
    } else if (current > maxReplicas) {
      desired = maxReplicas;
    } else if (current < minReplicas) {
      desired = minReplicas;
    } else if (metric === undefined) {
      return current;
    } else {
      const proposed = replicasFor(metric, current, this.#spec.averageValue);
      desired = this.#limited(nowSeconds, current, this.#stabilized(nowSeconds, current, proposed));
    }
    const [moments, change] = desired > current ? [this.#added, desired - current] : [this.#removed, current - desired];
    if (change > 0) {
      moments.push({ atSeconds: nowSeconds, replicas: change });
    }
    return desired;
  }

  /** The least of what was recommended in the window for going up, the most of that for going down. */
  #stabilized(nowSeconds: number, current: number, proposed: number): number {
    const { scaleUp, scaleDown } = this.#spec;
    const within = (seconds: number) => this.#recommended.filter(({ atSeconds }) => atSeconds > nowSeconds - seconds).map(({ replicas }) => replicas);
    const up = Math.min(proposed, ...within(scaleUp.stabilizationWindowSeconds));
    const down = Math.max(proposed, ...within(scaleDown.stabilizationWindowSeconds));
    const longest = Math.max(scaleUp.stabilizationWindowSeconds, scaleDown.stabilizationWindowSeconds);
    this.#recommended = this.#recommended.filter(({ atSeconds }) => atSeconds > nowSeconds - longest);
    this.#recommended.push({ atSeconds: nowSeconds, replicas: proposed });
    return Math.min(Math.max(current, up), down);
  }

  /** Within what the policies and the bounds allow. */
  #limited(nowSeconds: number, current: number, desired: number): number {
    const { minReplicas, maxReplicas, scaleUp, scaleDown } = this.#spec;
    if (desired > current) {
      return Math.min(desired, maxReplicas, Math.max(current, this.#reach(nowSeconds, current, scaleUp, 1)));
    }
    return desired < current ? Math.max(desired, minReplicas, Math.min(current, this.#reach(nowSeconds, current, scaleDown, -1))) : desired;
  }

  /** How far the policies let it go from where each one's period began. */
  #reach(nowSeconds: number, current: number, { selectPolicy, policies }: ScalingRules, direction: 1 | -1): number {
    if (selectPolicy === 'Disabled') {
      return current;
    }
    const reached = policies.map(({ type, value, periodSeconds }) => {
      const since = (moments: Moment[]) => moments.filter(({ atSeconds }) => atSeconds > nowSeconds - periodSeconds)
        .reduce((sum, { replicas }) => sum + replicas, 0);
      const began = current - since(this.#added) + since(this.#removed);
      if (type === 'Pods') {
        return began + direction * value;
      }
      return direction === 1 ? Math.ceil(began * (1 + value / 100)) : Math.trunc(began * (1 - value / 100));
    });
    const furthest = (selectPolicy === 'Max') === (direction === 1);
    return furthest ? Math.max(...reached) : Math.min(...reached);
  }
}

/** Enough for the metric, unless so many as there are do about well. */
function replicasFor(metric: number, current: number, averageValue: number): number {
  const ratio = metric / (averageValue * current);
  return Math.abs(ratio - 1) <= TOLERANCE ? current : Math.ceil(metric / averageValue);
}
