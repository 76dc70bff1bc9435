/** A median of the table: `scenario/what`, of one contestant. */
export interface Measure {
  figure: string;
  /** skiplease, when left out. */
  of?: string;
}

/** One thing that the project wants to reach. */
export interface Bar {
  about: string;
  /** Added up, when there are several. */
  value: Measure[];
  /** What it is divided by: the best of these contestants in the same figure. */
  over?: { figure: string; bestOf: string[]; best: 'highest' | 'lowest' };
  bound: { atLeast: number } | { atMost: number };
  unit?: string;
}

const ours = (figure: string): Measure[] => [{ figure }];
const peers = (figure: string, bestOf: string[], best: 'highest' | 'lowest' = 'highest') => ({ figure, bestOf, best });

/**
 * The bars: ratios of medians within one run, and counts that do not depend on the machine. `--check` compares with them;
 * which scenarios and contestants it runs follows from what stands here.
 */
export const BARS: Bar[] = [
  {
    about: 'end to end, outcomes kept, over the faster of graphile-worker and pg-boss',
    value: ours('end-to-end/jobs_per_second'),
    over: peers('end-to-end/jobs_per_second', ['graphile-worker', 'pg-boss']),
    bound: { atLeast: 3 },
  },
  {
    about: 'drain over pg-boss',
    value: ours('drain/jobs_per_second'),
    over: peers('drain/jobs_per_second', ['pg-boss']),
    bound: { atLeast: 3 },
  },
  {
    about: 'drain over graphile-worker, which keeps nothing',
    value: ours('drain/jobs_per_second'),
    over: peers('drain/jobs_per_second', ['graphile-worker']),
    bound: { atLeast: 2 },
  },
  {
    about: 'submit by four streams over graphile-worker with four calls in flight',
    value: ours('submit/jobs_per_second'),
    over: peers('submit/jobs_per_second', ['graphile-worker']),
    bound: { atLeast: 1.5 },
  },
  {
    about: 'end to end over plain SQL that does the same durable work',
    value: ours('end-to-end/jobs_per_second'),
    over: peers('end-to-end/jobs_per_second', ['plain-sql']),
    bound: { atLeast: 0.6 },
  },
  {
    about: 'submit to handler when idle, p50, over graphile-worker',
    value: ours('latency/p50_ms'),
    over: peers('latency/p50_ms', ['graphile-worker'], 'lowest'),
    bound: { atMost: 1 },
  },
  {
    about: 'submit to handler when idle, p50, over BullMQ on Redis',
    value: ours('latency/p50_ms'),
    over: peers('latency/p50_ms', ['bullmq'], 'lowest'),
    bound: { atMost: 1.2 },
  },
  {
    about: 'fourth flood under one open snapshot over the best peer',
    value: ours('snapshot/jobs_per_second_4'),
    over: peers('snapshot/jobs_per_second_4', ['graphile-worker', 'pg-boss']),
    bound: { atLeast: 4 },
  },
  {
    about: 'fourth flood under one open snapshot over the same without it',
    value: ours('snapshot/ratio'),
    bound: { atLeast: 0.85 },
  },
  {
    about: 'first jobs of a deep backlog over those of a shallow one',
    value: ours('backlog/ratio'),
    bound: { atLeast: 0.9 },
  },
  {
    about: 'from due to handler, p99, with a million scheduled ahead',
    value: ours('promotion/p99_ms'),
    bound: { atMost: 250 },
    unit: 'ms',
  },
  {
    about: 'drain of ten priorities over one',
    value: ours('priorities/many_ratio'),
    bound: { atLeast: 0.9 },
  },
  {
    about: 'drain of 10,000 queues over one queue',
    value: ours('many-queues/drain_many_ratio'),
    bound: { atLeast: 0.5 },
  },
  {
    about: 'end to end through 10,000 queues over one queue',
    value: ours('many-queues/end_to_end_many_ratio'),
    bound: { atLeast: 0.5 },
  },
  {
    about: '5,000 idle workers: PostgreSQL',
    value: ours('idle-fleet/postgresql_percent'),
    bound: { atMost: 1 },
    unit: '% of a core',
  },
  {
    about: '5,000 idle workers: coordinator',
    value: ours('idle-fleet/resident_mb'),
    bound: { atMost: 600 },
    unit: 'MB resident',
  },
  {
    about: '5,000 idle workers: rows at hello',
    value: ours('idle-fleet/hello_rows'),
    bound: { atMost: 1 },
    unit: 'a worker',
  },
  {
    about: '5,000 idle workers: rows left dead at bye',
    value: ours('idle-fleet/bye_rows'),
    bound: { atMost: 1 },
    unit: 'a worker',
  },
  {
    about: '5,000 idle workers: statements at hello, grouped',
    value: ours('idle-fleet/hello_statements'),
    bound: { atMost: 0.5 },
    unit: 'a worker',
  },
  {
    about: '5,000 idle workers: statements at bye, grouped',
    value: ours('idle-fleet/bye_statements'),
    bound: { atMost: 0.5 },
    unit: 'a worker',
  },
  {
    about: '5,000 idle workers: statements besides those of none',
    value: ours('idle-fleet/idle_statements_added'),
    bound: { atMost: 1 },
    unit: 'a second, of all',
  },
  {
    about: 'WAL of a job on the plain path: submit and drain',
    value: [{ figure: 'submit/wal_bytes' }, { figure: 'drain/wal_bytes' }],
    bound: { atMost: 950 },
    unit: 'bytes',
  },
  {
    about: 'WAL of a job handed off, 100 jobs a call',
    value: ours('hand-off/steady_wal_bytes'),
    bound: { atMost: 750 },
    unit: 'bytes',
  },
  {
    about: 'WAL of a job handed off, 1,000 jobs a call',
    value: ours('hand-off/bursts_wal_bytes'),
    bound: { atMost: 750 },
    unit: 'bytes',
  },
  {
    about: 'commits per 1,000 jobs at saturation, end to end',
    value: ours('end-to-end/commits_per_1000'),
    bound: { atMost: 10 },
  },
  {
    about: 'dead rows per job in ready',
    value: ours('drain/dead_rows_ready'),
    bound: { atMost: 1 },
  },
  {
    about: 'dead rows per job in lease',
    value: ours('drain/dead_rows_lease'),
    bound: { atMost: 0.02 },
  },
  {
    about: 'dead rows per job in the other tables of jobs',
    value: ours('drain/dead_rows_elsewhere'),
    bound: { atMost: 0 },
  },
  {
    about: 'coordinator during a drain of a million jobs, at its largest',
    value: ours('long-drain/peak_mb_coordinator'),
    bound: { atMost: 300 },
    unit: 'MB resident',
  },
];
