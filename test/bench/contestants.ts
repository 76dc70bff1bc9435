import type { Contestant } from './contestant.ts';
import { bullmq, bullmqAlways } from './peers/bullmq/contestant.ts';
import { graphileWorker } from './peers/graphile_worker/contestant.ts';
import { pgBoss } from './peers/pg_boss/contestant.ts';
import { plainSql } from './plain_sql/contestant.ts';
import { skiplease } from './skiplease/contestant.ts';

const ALL: Contestant[] = [skiplease, graphileWorker, pgBoss, bullmq, bullmqAlways, plainSql];

/**
 * Those named, or all that need not be named; ours first. Who cannot run on this machine is left out, with a word to
 * whoever watches. Throws for a name that is not there.
 */
export function contestantsNamed(names: string[], say: (line: string) => void): Contestant[] {
  const unknown = names.filter((name) => !ALL.some((contestant) => contestant.name === name));
  if (unknown.length > 0) {
    const known = ALL.map(({ name }) => name).join(', ');
    throw new Error(`no such contestant: ${unknown.join(', ')} (there are ${known})`);
  }
  const wanted = ALL.filter(({ name, onlyByName }) => (names.length === 0 ? onlyByName !== true : names.includes(name)));
  return wanted.filter(({ name, missing }) => {
    const why = missing?.();
    if (why !== undefined) say(`${name} is left out: ${why}`);
    return why === undefined;
  });
}
