import { parseArgs } from 'node:util';
import type { Fault } from './fault.ts';
import { FAULTS, faultsNamed } from './faults/index.ts';

export interface Options {
  minutes: number;
  seed: number;
  faults: readonly Fault[];
  /** Where histories, rows and logs are left; undefined: in a temporary folder, if something was found. */
  folder: string | undefined;
  /** Say what would strike, and end. */
  plan: boolean;
}

export const USAGE = `npm run fault -- [options]

  --minutes N     how long faults strike (2)
  --seed N        decides which strikes when; the same number, faults and minutes give the same schedule (a new one each time)
  --faults A,B    only these
  --folder PATH   where histories, rows and logs are left (a temporary folder, kept if something is found)
  --plan          print the schedule and end

${FAULTS.map(({ name, does }) => `  ${name.padEnd(24)} ${does}`).join('\n')}
`;

/** Reads the command line. Throws with a message for people when it makes no sense. */
export function parseOptions(argumentList: string[]): Options {
  const { values } = parseArgs({
    args: argumentList,
    options: {
      minutes: { type: 'string', default: '2' },
      seed: { type: 'string' },
      faults: { type: 'string', default: '' },
      folder: { type: 'string' },
      plan: { type: 'boolean', default: false },
    },
  });
  const minutes = Number(values.minutes);
  if (!(minutes > 0 && minutes <= 1_440)) throw new Error(`--minutes takes a number up to 1440, not ${JSON.stringify(values.minutes)}`);
  const seed = values.seed === undefined ? Math.floor(Math.random() * 2 ** 31) : Number(values.seed);
  if (!Number.isInteger(seed) || seed < 0 || seed >= 2 ** 32) throw new Error(`--seed takes a whole number below 2^32, not ${JSON.stringify(values.seed)}`);
  return { minutes, seed, faults: faultsNamed(values.faults), folder: values.folder, plan: values.plan };
}
