import { SCENARIOS, type ScenarioName } from '../options.ts';
import type { Figure } from '../report/figure.ts';
import type { Bar } from './bars.ts';

const OURS = 'skiplease';

/** A bar and what was measured. */
export interface Compared {
  bar: Bar;
  /** `undefined` when something that it needs was not measured. */
  measured: number | undefined;
  verdict: 'met' | 'missed' | 'not measured';
}

/** Compares the medians of these figures with the bars. */
export function compareWithBars(bars: Bar[], figures: Figure[]): Compared[] {
  const median = (figure: string, of: string) => figures.find(({ id }) => id === figure)?.values[of]?.median;
  return bars.map((bar) => {
    const measured = measure(bar, median);
    return { bar, measured, verdict: measured === undefined ? 'not measured' : isMet(bar, measured) ? 'met' : 'missed' };
  });
}

function measure({ value, over }: Bar, median: (figure: string, of: string) => number | undefined): number | undefined {
  const parts = value.map(({ figure, of }) => median(figure, of ?? OURS));
  if (parts.some((part) => part === undefined)) return undefined;
  const sum = parts.reduce<number>((total, part) => total + part!, 0);
  if (!over) return sum;
  const others = over.bestOf.map((name) => median(over.figure, name));
  // The best of two of which one is missing is not known.
  if (others.some((other) => other === undefined)) return undefined;
  return sum / (over.best === 'highest' ? Math.max(...(others as number[])) : Math.min(...(others as number[])));
}

function isMet({ bound }: Bar, measured: number): boolean {
  return 'atLeast' in bound ? measured >= bound.atLeast : measured <= bound.atMost;
}

/** Which contestants each scenario must run for these bars; scenarios that no bar speaks of are left out. */
export function contestantsByScenario(bars: Bar[]): Map<ScenarioName, Set<string>> {
  const needed = new Map<ScenarioName, Set<string>>();
  const need = (figure: string, names: string[]) => {
    const scenario = SCENARIOS.find((name) => figure.startsWith(`${name}/`));
    if (scenario === undefined) throw new Error(`a bar speaks of ${figure}, which no scenario measures`);
    const set = needed.get(scenario) ?? new Set<string>();
    names.forEach((name) => set.add(name));
    needed.set(scenario, set);
  };
  for (const { value, over } of bars) {
    for (const { figure, of } of value) need(figure, [of ?? OURS]);
    if (over) need(over.figure, over.bestOf);
  }
  return needed;
}
