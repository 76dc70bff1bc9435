import type { Registry } from 'prom-client';

/**
 * Counters and histograms for the hot path: an increment is an addition to a number in a map or an array, with no hashing
 * of label objects (prom-client's own cost about a microsecond each). They are turned into samples when somebody scrapes.
 */

interface Sample {
  value: number;
  labels: Record<string, string | number>;
  metricName?: string;
}

/** What a metric is called and means, as the README's table shows it. */
export interface MetricDescription {
  name: string;
  type: 'counter' | 'gauge' | 'histogram';
  labels: readonly string[];
  help: string;
}

/** Stands between label values in a key; never part of a name. */
const SEPARATOR = '\u0000';

/** A number that only grows, for each combination of its labels. */
export class Counter {
  readonly description: MetricDescription;
  readonly #values = new Map<string, number>();

  constructor(name: string, labels: readonly string[], help: string) {
    this.description = { name, type: 'counter', labels, help };
    if (labels.length === 0) {
      this.#values.set('', 0);
    }
  }

  add(count: number, ...labels: string[]): void {
    const key = labels.length === 1 ? labels[0]! : labels.join(SEPARATOR);
    this.#values.set(key, (this.#values.get(key) ?? 0) + count);
  }

  samples(): Sample[] {
    return [...this.#values].map(([key, value]) => ({ value, labels: labelled(this.description.labels, key) }));
  }
}

/** A value that is read when somebody scrapes. */
export class Gauge {
  readonly description: MetricDescription;
  readonly #read: () => Promise<Sample[]> | Sample[];

  constructor(name: string, labels: readonly string[], help: string, read: () => Promise<Sample[]> | Sample[]) {
    this.description = { name, type: 'gauge', labels, help };
    this.#read = read;
  }

  samples(): Promise<Sample[]> | Sample[] {
    return this.#read();
  }
}

/** How values spread over buckets. `observe` takes many equal values at once, for a batch. */
export class Histogram {
  readonly description: MetricDescription;
  readonly #bounds: readonly number[];
  readonly #counts: Float64Array;
  #sum = 0;

  constructor(name: string, bounds: readonly number[], help: string) {
    this.description = { name, type: 'histogram', labels: [], help };
    this.#bounds = bounds;
    this.#counts = new Float64Array(bounds.length + 1);
  }

  observe(value: number, count = 1): void {
    let bucket = 0;
    while (bucket < this.#bounds.length && value > this.#bounds[bucket]!) {
      bucket += 1;
    }
    this.#counts[bucket]! += count;
    this.#sum += value * count;
  }

  samples(): Sample[] {
    const { name } = this.description;
    let total = 0;
    const samples: Sample[] = this.#bounds.map((bound, index) => {
      total += this.#counts[index]!;
      return { metricName: `${name}_bucket`, labels: { le: bound }, value: total };
    });
    total += this.#counts[this.#bounds.length]!;
    return [
      ...samples,
      { metricName: `${name}_bucket`, labels: { le: '+Inf' }, value: total },
      { metricName: `${name}_sum`, labels: {}, value: this.#sum },
      { metricName: `${name}_count`, labels: {}, value: total },
    ];
  }
}

/** Makes an instrument visible to scrapes of the registry. */
export function register(registry: Registry, instrument: Counter | Gauge | Histogram): void {
  const { name, type, help } = instrument.description;
  const metric = { name, type, help, aggregator: 'sum', get: async () => ({ name, help, type, values: await instrument.samples() }) };
  registry.registerMetric(metric as unknown as Parameters<Registry['registerMetric']>[0]);
}

/** Label values are given a bounded number of names; whoever comes later shares one. */
export class BoundedNames {
  readonly #known = new Set<string>();
  readonly #max: number;

  constructor(max: number) {
    this.#max = max;
  }

  label(name: string): string {
    if (this.#known.has(name)) {
      return name;
    }
    if (this.#known.size >= this.#max) {
      return 'other';
    }
    this.#known.add(name);
    return name;
  }
}

function labelled(names: readonly string[], key: string): Record<string, string> {
  const values = key.split(SEPARATOR);
  return Object.fromEntries(names.map((name, index) => [name, values[index] ?? '']));
}
