/** What is said of several runs of the same thing: the middle one, and how far they lie apart. */
export interface Spread {
  median: number;
  min: number;
  max: number;
  samples: number[];
}

/** Median and range of at least one sample. */
export function spread(samples: number[]): Spread {
  const sorted = samples.toSorted((left, right) => left - right);
  return { median: percentile(sorted, 50), min: sorted.at(0)!, max: sorted.at(-1)!, samples };
}

/** The value below which `percent` of the sorted samples lie, interpolated between neighbours. */
export function percentile(sorted: number[], percent: number): number {
  if (sorted.length === 0) throw new Error('a percentile needs at least one sample');
  const position = (percent / 100) * (sorted.length - 1);
  const below = sorted[Math.floor(position)]!;
  const above = sorted[Math.ceil(position)]!;
  return below + (above - below) * (position - Math.floor(position));
}
