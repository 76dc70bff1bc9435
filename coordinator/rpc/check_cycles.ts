import type { FieldViolation } from '../errors.ts';
import type { NewJob } from '../types.ts';

/** Jobs of a circle that its violation names. */
const NAMED_MAX = 5;

/**
 * Jobs that wait for each other in a circle would wait for ever. A job can name only those that exist and those of its own
 * request, so a circle lies within one request or there is none.
 */
export function checkCycles(jobs: readonly NewJob[], fieldAt: (index: number) => string, violations: FieldViolation[]): void {
  if (!jobs.some(({ options }) => options !== null && options.after !== undefined)) {
    return;
  }
  const circle = findCycle(jobs.map(({ id, options }) => ({ id, after: options?.after ?? [] })));
  if (circle !== undefined) {
    const ids = circle.map((index) => jobs[index]!.id);
    const shown = ids.length > NAMED_MAX ? [...ids.slice(0, NAMED_MAX), '…', ids[0]] : [...ids, ids[0]];
    violations.push({ field: `${fieldAt(circle[0]!)}.after_job_ids`,
      description: `makes ${ids.length === 1 ? 'it wait for itself' : `${ids.length} jobs wait for each other in a circle: ${shown.join(' after ')}`}` });
  }
}

/**
 * The jobs (by index) of one circle, each of which waits for the next, and the last for the first; undefined: there is none.
 * Jobs that wait for none of the others are taken away until none is left, or each that is left waits for one that is.
 */
export function findCycle(jobs: readonly { id: string; after: readonly string[] }[]): number[] | undefined {
  const places = new Map(jobs.map(({ id }, index) => [id, index]));
  const named = jobs.map(({ after }) => after.map((id) => places.get(id)).filter((index) => index !== undefined));
  const naming = jobs.map((): number[] => []);
  named.forEach((indexes, index) => indexes.forEach((on) => naming[on]!.push(index)));
  const left = named.map(({ length }) => length);
  const free = [...left.keys()].filter((index) => left[index] === 0);
  for (let next = 0; next < free.length; next += 1) {
    for (const index of naming[free[next]!]!) {
      left[index]! -= 1;
      if (left[index] === 0) {
        free.push(index);
      }
    }
  }
  if (free.length === jobs.length) {
    return undefined;
  }
  const path = new Map<number, number>();
  let index = left.findIndex((count) => count > 0);
  while (!path.has(index)) {
    path.set(index, path.size);
    index = named[index]!.find((on) => left[on]! > 0)!;
  }
  return [...path.keys()].slice(path.get(index));
}
