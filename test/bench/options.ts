import { parseArgs } from 'node:util';

export const SCENARIOS = ['submit', 'drain', 'end-to-end', 'latency', 'statements'] as const;
export type ScenarioName = (typeof SCENARIOS)[number];

export interface Options {
  scenarios: ScenarioName[];
  /** Counts of a few thousand jobs and one round: shows that everything works, not how fast. */
  quick: boolean;
  /** Jobs in a timed run. */
  jobs: number;
  rounds: number;
  payloadBytes: number;
  jsonFile: string | undefined;
  /** Names of the contestants that take part; empty for all. */
  only: string[];
  /** A superuser's URL of a server to use in place of the embedded one. */
  databaseUrl: string | undefined;
}

export const USAGE = `npm run bench -- [SCENARIO...] [options]

  scenarios: ${SCENARIOS.join(', ')} (all, when none is named)

  --quick           smallest counts, one round: shows that it works, not how fast it is
  --jobs N          jobs in a timed run (100000; with --quick 3000)
  --rounds N        rounds, each with every contestant in turn (5; with --quick 1)
  --payload-bytes N size of a job's payload (100)
  --only A,B        only these contestants (skiplease, graphile-worker, pg-boss)
  --database URL    a superuser's URL of a running server, in place of the embedded PostgreSQL
  --json FILE       write everything that was measured
`;

/** Reads the command line. Throws with a message for people when it makes no sense. */
export function parseOptions(argumentList: string[]): Options {
  const { values, positionals } = parseArgs({
    args: argumentList,
    allowPositionals: true,
    options: {
      quick: { type: 'boolean', default: false },
      jobs: { type: 'string' },
      rounds: { type: 'string' },
      'payload-bytes': { type: 'string', default: '100' },
      only: { type: 'string', default: '' },
      database: { type: 'string' },
      json: { type: 'string' },
    },
  });
  const unknown = positionals.filter((name) => !SCENARIOS.includes(name as ScenarioName));
  if (unknown.length > 0) {
    throw new Error(`no such scenario: ${unknown.join(', ')} (there are ${SCENARIOS.join(', ')})`);
  }
  return {
    scenarios: positionals.length === 0 ? [...SCENARIOS] : (positionals as ScenarioName[]),
    quick: values.quick,
    jobs: wholeNumber('jobs', values.jobs ?? (values.quick ? '3000' : '100000'), 10_000_000),
    rounds: wholeNumber('rounds', values.rounds ?? (values.quick ? '1' : '5'), 100),
    payloadBytes: wholeNumber('payload-bytes', values['payload-bytes'], 1_000_000),
    only: values.only.split(',').filter((name) => name !== ''),
    databaseUrl: values.database,
    jsonFile: values.json,
  };
}

function wholeNumber(name: string, text: string, max: number): number {
  const value = Number(text);
  if (!Number.isInteger(value) || value < 1 || value > max) {
    throw new Error(`--${name} takes a whole number from 1 to ${max}, not ${JSON.stringify(text)}`);
  }
  return value;
}
