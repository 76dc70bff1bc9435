import type { Launched } from '../contestant.ts';
import { needDisk } from '../database/disk.ts';
import { startMeter, type DatabaseUse } from '../database/meter.ts';
import { withAdmin } from '../database/server.ts';
import type { Check } from '../report/checks.ts';
import { ourFigure, ratioFigure } from '../report/figure.ts';
import type { Scenario } from '../scenario.ts';
import { launchSkiplease } from '../skiplease/contestant.ts';
import { fillReady } from '../skiplease/fill.ts';
import { interleaved, jobsPerSecondText, roundsOf, type BenchContext } from './context.ts';
import { auditCheck, deliveryCheck, drainStretch, warmUp } from './stretch.ts';

/** Of disk: 340 in tables and indexes with a payload of 100, the rest for the write-ahead log, which stays below 8 GB. */
export const BYTES_PER_FILLED_JOB = 1_200;
/** Of two seconds each: on a shared machine a single one is off by a quarter. */
const ROUNDS = 9;

/** One queue with jobs that wait, kept over the rounds. */
interface Waiting {
  name: string;
  launched: Launched;
  /** Jobs that wait when a stretch begins; some more are put in between two stretches, when fewer are left. */
  target: number;
  /** Number of the first job that was filled in; those before it were the warm-up. */
  first: number;
  filled: number;
  /** Of those filled in, by now. */
  drained: number;
}

interface StretchResult {
  jobs: number;
  waiting: number;
  jobsPerSecond: number;
  database: DatabaseUse;
  checks: Check[];
}

/**
 * The first jobs of many that wait, against the same number of which no more wait. Both queues are filled by the same
 * SQL, straight into our tables; what is drained goes the usual way.
 */
export const backlog: Scenario = {
  name: 'backlog',
  async run(context) {
    const { options, server, say } = context;
    const { jobs } = options;
    const rounds = roundsOf(context, ROUNDS);
    const many = Math.max(options.waiting, jobs);
    await needDisk(server.admin, 'backlog', (many + rounds * jobs) * BYTES_PER_FILLED_JOB, say);
    const subjects: Waiting[] = [];
    try {
      for (const target of [many, jobs]) subjects.push(await prepare(context, target));
      const { results, checks } = await interleaved(
        context,
        { label: 'backlog', rounds, subjects },
        (waiting) => drainSome(context, waiting),
        (result) => jobsPerSecondText(result),
      );
      for (const waiting of subjects) checks.push(await close(waiting));
      const [deep, shallow] = subjects.map(({ name }) => results[name]!) as [StretchResult[], StretchResult[]];
      const speeds = (runs: StretchResult[]) => runs.map(({ jobsPerSecond }) => jobsPerSecond);
      const cpu = (runs: StretchResult[]) => runs.map(({ database }) => database.cpuMs && (1000 * database.cpuMs) / jobs);
      const label = `backlog: jobs/s, first ${jobs.toLocaleString('en-US')}`;
      return {
        figures: [
          ...ourFigure('backlog/many_jobs_per_second', `${label} of ${many.toLocaleString('en-US')}`, 0, speeds(deep)).map((figure) => ({ ...figure, heading: true })),
          ...ourFigure('backlog/many_cpu_postgresql', '  CPU µs per job: PostgreSQL', 1, cpu(deep)),
          ...ourFigure('backlog/few_jobs_per_second', `${label} of as many`, 0, speeds(shallow)).map((figure) => ({ ...figure, heading: true })),
          ...ourFigure('backlog/few_cpu_postgresql', '  CPU µs per job: PostgreSQL', 1, cpu(shallow)),
          ...ratioFigure('backlog/ratio', '  the one over the other', speeds(deep), speeds(shallow)),
        ],
        texts: [],
        checks,
        raw: results,
      };
    } finally {
      for (const { launched } of subjects) await launched.discard();
    }
  },
};

/** Starts it, warms it up, and fills its queue. */
async function prepare(context: BenchContext, target: number): Promise<Waiting> {
  const launched = await launchSkiplease(context.server, { mode: 'flood' });
  const first = await warmUp(context, launched, context.options.jobs);
  await launched.worker.call('stop');
  await launched.worker.call('expect', { first, count: 0 });
  const waiting = { name: `${target.toLocaleString('en-US')} waiting`, launched, target, first, filled: 0, drained: 0 };
  const startMs = performance.now();
  await fill(context, waiting);
  const seconds = ((performance.now() - startMs) / 1000).toFixed(0);
  const { rows } = await withAdmin(launched.database!, (client) =>
    client.query<{ bytes: number }>('SELECT pg_database_size(current_database())::float8 AS bytes'),
  );
  context.say(`backlog: ${target.toLocaleString('en-US')} jobs filled in ${seconds} s, ${(rows[0]!.bytes / 1e9).toFixed(2)} GB`);
  return waiting;
}

async function fill({ server, options }: BenchContext, waiting: Waiting): Promise<void> {
  const count = waiting.target - (waiting.filled - waiting.drained);
  const first = waiting.first + waiting.filled;
  const { payloadBytes } = options;
  await withAdmin(waiting.launched.database!, async (client) => {
    await fillReady(client, { first, count: count - 1, payloadBytes });
    // What autovacuum would have done by then.
    await client.query('VACUUM (ANALYZE)');
  });
  // The last one as usual: it is how a coordinator hears that something waits, which it would else find out by and by.
  await waiting.launched.submitter.call('submit', { first: first + count - 1, count: 1, payloadBytes });
  waiting.filled += count;
  await server.admin.query('CHECKPOINT');
}

/** From the worker's start to so many durable completions; then it is stopped, and the rest waits on. */
async function drainSome(context: BenchContext, waiting: Waiting): Promise<StretchResult> {
  const { worker, database } = waiting.launched;
  const { jobs } = context.options;
  if (waiting.filled - waiting.drained < jobs) await fill(context, waiting);
  const { first, filled, drained } = waiting;
  // Counted on over all stretches: which jobs a worker hands back when it is stopped, and where they wait then, is not known.
  await worker.call('expectMore', { first, count: filled, enough: drained + jobs });
  const stopMeter = await startMeter(context.server.admin, database!.name);
  const durationMs = await drainStretch(waiting.launched, jobs);
  const use = await stopMeter();
  await worker.call('stop');
  waiting.drained = (await worker.call('delivery')).distinct;
  return {
    jobs,
    waiting: filled - drained,
    jobsPerSecond: (jobs / durationMs) * 1000,
    database: use,
    checks: [await deliveryCheck(waiting.launched)],
  };
}

/** Ends its processes; its tables must say what its worker counted. */
async function close({ name, launched, first, filled, drained }: Waiting): Promise<Check> {
  await launched.submitter.call('close');
  await launched.stop();
  const audit = await auditCheck(launched, { unfinished: filled - drained, succeeded: first + drained });
  return { ...audit, name: `backlog of ${name}: ${audit.name}` };
}
