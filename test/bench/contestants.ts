import type { Contestant } from './contestant.ts';
import { graphileWorker } from './peers/graphile_worker/contestant.ts';
import { pgBoss } from './peers/pg_boss/contestant.ts';
import { skiplease } from './skiplease/contestant.ts';

const ALL: Contestant[] = [skiplease, graphileWorker, pgBoss];

/** Those named, or all of them; ours first. Throws for a name that is not there. */
export function contestantsNamed(names: string[]): Contestant[] {
  const unknown = names.filter((name) => !ALL.some((contestant) => contestant.name === name));
  if (unknown.length > 0) {
    const known = ALL.map(({ name }) => name).join(', ');
    throw new Error(`no such contestant: ${unknown.join(', ')} (there are ${known})`);
  }
  return names.length === 0 ? ALL : ALL.filter(({ name }) => names.includes(name));
}
