import { spread, type Spread } from '../measure/statistics.ts';

/** One line of the table: a figure of each contestant. */
export interface Figure {
  /** `scenario/what`: by this the bars and the plot find it. */
  id: string;
  label: string;
  /** Digits after the point. */
  digits: number;
  /** Begins a group of lines. */
  heading?: boolean;
  /** Whether ours over theirs says something. */
  compared?: boolean;
  /** Not in the table: for the bars alone. */
  hidden?: boolean;
  /** By contestant. */
  values: Record<string, Spread>;
}

/** Median and range of a figure of each contestant's runs; runs that do not have it are left out. */
export function spreads<Result>(
  results: Record<string, Result[]>,
  of: (result: Result) => number | undefined,
): Record<string, Spread> {
  const values: Record<string, Spread> = {};
  for (const [name, runs] of Object.entries(results)) {
    const samples = runs.map(of).filter((value) => value !== undefined);
    if (samples.length > 0) values[name] = spread(samples);
  }
  return values;
}

/** A line with a figure of ours alone; none when there was no run. */
export function ourFigure(id: string, label: string, digits: number, samples: (number | undefined)[]): Figure[] {
  const known = samples.filter((sample) => sample !== undefined);
  return known.length === 0 ? [] : [{ id, label, digits, values: { skiplease: spread(known) } }];
}

/** Ours with something over ours without it: one median over the other. */
export function ratioFigure(id: string, label: string, these: number[], those: number[]): Figure[] {
  if (these.length === 0 || those.length === 0) return [];
  return ourFigure(id, label, 2, [spread(these).median / spread(those).median]);
}
