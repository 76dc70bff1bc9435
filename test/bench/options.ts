import { parseArgs } from 'node:util';

/** In the order in which they run. */
export const SCENARIOS = [
  'submit',
  'drain',
  'end-to-end',
  'latency',
  'hand-off',
  'snapshot',
  'backlog',
  'scheduled',
  'promotion',
  'priorities',
  'many-queues',
  'serial-keys',
  'graph',
  'windows-of-one',
  'ten-coordinators',
  'idle-fleet',
  'long-drain',
  'overload',
  'statements',
] as const;
export type ScenarioName = (typeof SCENARIOS)[number];

export interface Options {
  /** Those that were named; empty: the usual ones. */
  scenarios: ScenarioName[];
  /** Counts of a few thousand jobs and one round: shows that everything works, not how fast. */
  quick: boolean;
  /** Compare with the bars. */
  check: boolean;
  /** Jobs in a timed run. */
  jobs: number;
  /** `undefined`: what each scenario thinks right. */
  rounds: number | undefined;
  payloadBytes: number;
  /** Jobs that wait in the backlog scenario. */
  waiting: number;
  jsonFile: string | undefined;
  plotFile: string | undefined;
  /** Names of the contestants that take part; empty for all. */
  only: string[];
  /** A superuser's URL of a server to use in place of the embedded one. */
  databaseUrl: string | undefined;
}

export const USAGE = `npm run bench -- [SCENARIO...] [options]

  scenarios: ${SCENARIOS.join(', ')}
             (all of them when none is named; with --check those that have a bar)

  --quick           smallest counts, one round: shows that it works, not how fast it is
  --check           compares with the bars, prints each, and exits 1 when one is missed
  --jobs N          jobs in a timed run (100000; with --quick 3000)
  --rounds N        rounds, each with every contestant in turn (each scenario has its own number; with --quick 1)
  --payload-bytes N size of a job's payload (100)
  --waiting N       jobs that wait in backlog (1000000; with --check 10000000, with --quick 20000)
  --only A,B        only these contestants (skiplease, graphile-worker, pg-boss, bullmq, plain-sql; bullmq-always only so)
  --database URL    a superuser's URL of a running server, in place of the embedded PostgreSQL
  --json FILE       write everything that was measured
  --plot FILE       draw the figures as SVG
`;

/** Reads the command line. Throws with a message for people when it makes no sense. */
export function parseOptions(argumentList: string[]): Options {
  const { values, positionals } = parseArgs({
    args: argumentList,
    allowPositionals: true,
    options: {
      quick: { type: 'boolean', default: false },
      check: { type: 'boolean', default: false },
      jobs: { type: 'string' },
      rounds: { type: 'string' },
      'payload-bytes': { type: 'string', default: '100' },
      waiting: { type: 'string' },
      only: { type: 'string', default: '' },
      database: { type: 'string' },
      json: { type: 'string' },
      plot: { type: 'string' },
    },
  });
  const unknown = positionals.filter((name) => !SCENARIOS.includes(name as ScenarioName));
  if (unknown.length > 0) {
    throw new Error(`no such scenario: ${unknown.join(', ')} (there are ${SCENARIOS.join(', ')})`);
  }
  const { quick, check } = values;
  if (quick && check) throw new Error('--quick measures too little for --check');
  return {
    scenarios: positionals as ScenarioName[],
    quick,
    check,
    jobs: wholeNumber('jobs', values.jobs ?? (quick ? '3000' : '100000'), 10_000_000),
    rounds: values.rounds === undefined ? undefined : wholeNumber('rounds', values.rounds, 100),
    payloadBytes: wholeNumber('payload-bytes', values['payload-bytes'], 1_000_000),
    waiting: wholeNumber('waiting', values.waiting ?? (quick ? '20000' : check ? '10000000' : '1000000'), 100_000_000),
    only: values.only.split(',').filter((name) => name !== ''),
    databaseUrl: values.database,
    jsonFile: values.json,
    plotFile: values.plot,
  };
}

function wholeNumber(name: string, text: string, max: number): number {
  const value = Number(text);
  if (!Number.isInteger(value) || value < 1 || value > max) {
    throw new Error(`--${name} takes a whole number from 1 to ${max}, not ${JSON.stringify(text)}`);
  }
  return value;
}
