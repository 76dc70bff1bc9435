import type { Bar } from './bars.ts';
import type { Compared } from './compare.ts';

/** One line a bar: the verdict, what was measured, what is wanted. */
export function renderBars(compared: Compared[]): string {
  const lines = compared.map(({ bar, measured, verdict }) => {
    const found = measured === undefined ? '-' : withUnit(bar, number(measured));
    return `  ${verdict.padEnd(12)} ${bar.about}: ${found} (${wanted(bar)})`;
  });
  return ['bars:', ...lines].join('\n');
}

/** What a bar wants, in words. */
export function wanted(bar: Bar): string {
  const { bound } = bar;
  return 'atLeast' in bound ? `${withUnit(bar, String(bound.atLeast))} or more` : `${withUnit(bar, String(bound.atMost))} at most`;
}

function withUnit({ unit, over }: Bar, text: string): string {
  if (over) return `${text} ×`;
  return unit === undefined ? text : `${text}${unit.startsWith('%') ? '' : ' '}${unit}`;
}

/** More digits for small numbers. */
function number(value: number): string {
  return value.toFixed(Math.abs(value) >= 100 ? 0 : Math.abs(value) >= 1 ? 2 : 3);
}
