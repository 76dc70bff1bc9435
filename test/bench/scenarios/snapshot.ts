import pg from 'pg';
import type { Contestant, Launched } from '../contestant.ts';
import type { Check } from '../report/checks.ts';
import { ratioFigure, spreads, type Figure } from '../report/figure.ts';
import type { Scenario } from '../scenario.ts';
import { interleaved, roundsOf, type BenchContext } from './context.ts';
import { auditCheck, deliveryCheck, endToEndStretch, warmUp } from './stretch.ts';

/** Floods one after the other: dead rows of each are there for all that follow. */
const FLOODS = 4;
const ROUNDS = 3;

interface Subject {
  name: string;
  contestant: Contestant;
  held: boolean;
}

interface SnapshotResult {
  /** By flood. */
  jobsPerSecond: number[];
  checks: Check[];
}

/**
 * Some other session holds a snapshot open, from before: until it lets go, no vacuum may remove a dead row. Four floods
 * end to end, one after the other, through everyone whose jobs are in that database; and ours again without the snapshot.
 */
export const snapshot: Scenario = {
  name: 'snapshot',
  async run(context) {
    const subjects: Subject[] = context.contestants
      .filter(({ store, part }) => store === 'PostgreSQL' && part !== 'ceiling')
      .map((contestant) => ({ name: contestant.name, contestant, held: true }));
    const ours = subjects.find(({ contestant }) => contestant.part === 'ours');
    const without = ours && { ...ours, name: `${ours.name}, no snapshot`, held: false };
    const { results, checks } = await interleaved(
      context,
      {
        label: 'snapshot',
        rounds: roundsOf(context, ROUNDS),
        subjects: without ? [...subjects, without] : subjects,
      },
      (subject) => snapshotRun(context, subject),
      ({ jobsPerSecond }) => `${jobsPerSecond.map((rate) => Math.round(rate).toLocaleString('en-US')).join(', ')} jobs/s`,
    );
    const withSnapshot = Object.fromEntries(subjects.map(({ name }) => [name, results[name]!]));
    const fourth = ({ jobsPerSecond }: SnapshotResult) => jobsPerSecond.at(-1)!;
    const figures: Figure[] = Array.from({ length: FLOODS }, (_, flood) => ({
      id: `snapshot/jobs_per_second_${flood + 1}`,
      label: `snapshot held: jobs/s, flood ${flood + 1} of ${FLOODS}`,
      digits: 0,
      heading: flood === 0,
      compared: flood === FLOODS - 1,
      values: spreads(withSnapshot, ({ jobsPerSecond }) => jobsPerSecond[flood]),
    }));
    if (ours && without) {
      figures.push(
        {
          id: 'snapshot/without_jobs_per_second_4',
          label: `no snapshot: jobs/s, flood ${FLOODS} of ${FLOODS}`,
          digits: 0,
          values: { [ours.name]: spreads({ one: results[without.name]! }, fourth).one! },
        },
        ...ratioFigure('snapshot/ratio', '  held, over not held', results[ours.name]!.map(fourth), results[without.name]!.map(fourth)),
      );
    }
    return { figures, texts: [], checks, raw: results };
  },
};

async function snapshotRun(context: BenchContext, { contestant, held }: Subject): Promise<SnapshotResult> {
  const { server, options } = context;
  const launched = await contestant.launch(server, 'flood');
  const holder = held ? await holdSnapshot(launched) : undefined;
  try {
    const { worker, submitter } = launched;
    const warmUpJobs = await warmUp(context, launched, options.jobs);
    const checks: Check[] = [];
    const jobsPerSecond: number[] = [];
    for (let flood = 0; flood < FLOODS; flood += 1) {
      const first = warmUpJobs + flood * options.jobs;
      await worker.call('expect', { first, count: options.jobs });
      await server.admin.query('CHECKPOINT');
      const durationMs = await endToEndStretch(launched, { first, count: options.jobs, payloadBytes: options.payloadBytes });
      jobsPerSecond.push((options.jobs / durationMs) * 1000);
      if (flood === FLOODS - 1) await worker.call('stop');
      checks.push(await deliveryCheck(launched));
    }
    await submitter.call('close');
    await launched.stop();
    checks.push(await auditCheck(launched, { unfinished: 0, succeeded: warmUpJobs + FLOODS * options.jobs }));
    return { jobsPerSecond, checks };
  } finally {
    await holder?.end();
    await launched.discard();
  }
}

/** A transaction that has looked at the database once, and does not end. */
async function holdSnapshot({ database }: Launched): Promise<pg.Client> {
  const client = new pg.Client({ connectionString: database!.adminUrl });
  await client.connect();
  await client.query('BEGIN ISOLATION LEVEL REPEATABLE READ');
  await client.query('SELECT count(*) FROM pg_class');
  return client;
}
