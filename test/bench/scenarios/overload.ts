import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { QueueClient } from '../../../worker/index.ts';
import { startCoordinator, type TestCoordinator } from '../../support/coordinator.ts';
import { withAdmin, type BenchDatabase } from '../database/server.ts';
import { needDisk } from '../database/disk.ts';
import { monotonicMs } from '../measure/clock.ts';
import { residentBytes } from '../measure/processes.ts';
import { check, type Check } from '../report/checks.ts';
import { ourFigure } from '../report/figure.ts';
import type { DriverCounts, DriverMethods, WorkerMethods } from '../roles/methods.ts';
import { RoleProcess } from '../roles/role_process.ts';
import type { Scenario } from '../scenario.ts';
import { QUEUE, WINDOW_JOBS } from '../skiplease/preset.ts';
import { interleaved, roundsOf, type BenchContext } from './context.ts';
import { waitFor } from './wait_for.ts';

const TIMES_CAPACITY = 4;
const ROUNDS = 1;
/** Seconds of each part. */
const PARTS = { warmUp: 5, capacity: 15, overload: 120, recovery: 20 };
const PARTS_QUICK = { warmUp: 1, capacity: 3, overload: 5, recovery: 14 };
/** What the queue takes: some seconds of work. */
const WAITING_MAX = 200_000;
/** Throughput is back where so many seconds in a row make up such a share of what they were before. */
const BACK_SECONDS = 3;
const BACK_SHARE = 0.9;
/** A few seconds on a busy machine say less. */
const BACK_SHARE_QUICK = 0.5;
const BACK_WITHIN_SECONDS = 10;
/** What waits in a coordinator has its bounds (limits.ts); with heap and buffers it stays below this. */
const RESIDENT_MB_MAX = 768;
const JOBS_PER_SECOND_MOST = 30_000;
const BYTES_PER_JOB = 1_500;
const DRAIN_DEADLINE_MS = 300_000;

/** One second of the run. */
interface Second {
  part: keyof typeof PARTS;
  /** How long it was: whoever looks may be late. */
  lastedMs: number;
  completed: number;
  accepted: number;
  refused: number;
  coordinatorMb: number;
}

interface OverloadResult {
  capacity: number;
  seconds: Second[];
  overload: DriverCounts;
  /** Until throughput was back; Infinity: it was not. */
  backSeconds: number;
  checks: Check[];
}

/** How much is done in a second; then four times as many jobs come as that, and nobody waits or tries again; then as before. */
export const overload: Scenario = {
  name: 'overload',
  async run(context) {
    const parts = context.options.quick ? PARTS_QUICK : PARTS;
    await needDisk(context.server.admin, 'overload', (parts.overload + parts.capacity + parts.recovery) * JOBS_PER_SECOND_MOST * BYTES_PER_JOB, context.say);
    const { results, checks } = await interleaved(
      context,
      { label: 'overload', rounds: roundsOf(context, ROUNDS), subjects: [{ name: 'skiplease' }] },
      () => overloadRun(context, parts),
      ({ capacity, backSeconds }) => `${Math.round(capacity).toLocaleString('en-US')} jobs/s before, back after ${backSeconds} s`,
    );
    const runs = results.skiplease!;
    const line = (id: string, label: string, of: (run: OverloadResult) => number) => ourFigure(`overload/${id}`, label, 0, runs.map(of));
    const mean = (part: Second['part'], of: (second: Second) => number) => ({ seconds }: OverloadResult) => meanOf(seconds.filter((second) => second.part === part).map(of));
    const peak = (part: Second['part']) => ({ seconds }: OverloadResult) => Math.max(...seconds.filter((second) => second.part === part).map(({ coordinatorMb }) => coordinatorMb));
    return {
      figures: [
        ...line('capacity', 'overload: jobs/s done, before', ({ capacity }) => capacity).map((figure) => ({ ...figure, heading: true })),
        ...line('offered', '  jobs/s offered in the overload', ({ overload: { offered }, seconds }) => offered / lengthOf(seconds, 'overload')),
        ...line('accepted', '  of them accepted', ({ overload: { accepted }, seconds }) => accepted / lengthOf(seconds, 'overload')),
        ...line('done', '  jobs/s done meanwhile', mean('overload', ({ completed }) => completed)),
        ...line('slowest_ms', '  ms until the slowest answer', ({ overload: { slowestAnswerMs } }) => slowestAnswerMs),
        ...line('back_s', '  seconds until throughput was back', ({ backSeconds }) => backSeconds),
        ...line('after', '  jobs/s done, afterwards', mean('recovery', ({ completed }) => completed)),
        ...line('before_mb', '  coordinator, MB resident at most, before', peak('capacity')),
        ...line('peak_mb', '  in the overload', peak('overload')),
      ],
      texts: runs.slice(-1).map(({ overload: { refused, unsent } }) =>
        `overload: jobs refused, by reason: ${Object.entries(refused).map(([why, jobs]) => `${why} ${jobs}`).join(', ') || 'none'}; not sent, too many calls being under way: ${unsent}`),
      checks,
      raw: results,
    };
  },
};

async function overloadRun({ server, options }: BenchContext, parts: typeof PARTS): Promise<OverloadResult> {
  const database = await server.createDatabase('overload');
  const coordinator = await startCoordinator({ databaseUrl: database.contestantUrl });
  const driver = new RoleProcess<DriverMethods>('driver', join(import.meta.dirname, '../skiplease/overload_driver.ts'));
  const worker = new RoleProcess<WorkerMethods>('worker', join(import.meta.dirname, '../skiplease/worker.ts'));
  try {
    await setCeiling(coordinator.grpcAddress);
    await driver.call('open', { address: coordinator.grpcAddress, payloadBytes: options.payloadBytes });
    await worker.call('open', {
      url: database.contestantUrl,
      mode: 'flood',
      fleet: { addresses: [coordinator.grpcAddress], queues: 1, priorities: 1, delayMs: 0, serialKeys: 0, besideKeys: 0, layerJobs: 0, workers: 1, windowJobs: WINDOW_JOBS.flood },
    });
    const jobsMost = Object.values(parts).reduce((sum, seconds) => sum + seconds, 0) * JOBS_PER_SECOND_MOST * TIMES_CAPACITY;
    await worker.call('expect', { first: 0, count: jobsMost });
    await worker.call('start');

    const watch = new Watch(coordinator, driver, worker);
    await driver.call('flood');
    await watch.during('warmUp', parts.warmUp);
    const capacity = meanOf((await watch.during('capacity', parts.capacity)).map(({ completed }) => completed));
    await driver.call('stop');

    const before = await driver.call('counts');
    await driver.call('overload', { jobsPerSecond: TIMES_CAPACITY * capacity });
    await watch.during('overload', parts.overload);
    await driver.call('stop');
    const overloaded = difference(await driver.call('counts'), before);

    await driver.call('flood');
    const wanted = capacity * (options.quick ? BACK_SHARE_QUICK : BACK_SHARE);
    const after = await watch.during('recovery', parts.recovery, (seconds) => options.quick && secondsUntilBack(seconds, wanted) < Infinity);
    await driver.call('stop');
    const backSeconds = secondsUntilBack(after, wanted);
    const counts = await driver.call('counts');
    const checks = [
      ...(await untilDrained(database, worker, counts)),
      check(`throughput is back within ${BACK_WITHIN_SECONDS} seconds`, backSeconds <= BACK_WITHIN_SECONDS, `${backSeconds} s: ${after.map(({ completed }) => Math.round(completed)).join(' ')} jobs/s`),
      check(`the coordinator has at most ${RESIDENT_MB_MAX} MB resident`, watch.peakMb <= RESIDENT_MB_MAX, `${Math.round(watch.peakMb)} MB`),
      check('it was an overload', overloaded.accepted < overloaded.offered, `${overloaded.accepted} of ${overloaded.offered} jobs were accepted`),
    ];
    return { capacity, seconds: watch.seconds, overload: overloaded, backSeconds, checks };
  } finally {
    await Promise.allSettled([driver.stop(), worker.stop()]);
    await coordinator.stop(60_000);
    await server.dropDatabase(database);
  }
}

async function setCeiling(address: string): Promise<void> {
  const client = new QueueClient({ addresses: [address] });
  await client.update(QUEUE, { waitingMax: WAITING_MAX });
  client.close();
}

/** Looks once a second at what was done since the last look. */
class Watch {
  readonly seconds: Second[] = [];
  readonly #coordinator: TestCoordinator;
  readonly #driver: RoleProcess<DriverMethods>;
  readonly #worker: RoleProcess<WorkerMethods>;
  #last = { atMs: monotonicMs(), completed: 0, accepted: 0, refused: 0 };

  constructor(coordinator: TestCoordinator, driver: RoleProcess<DriverMethods>, worker: RoleProcess<WorkerMethods>) {
    this.#coordinator = coordinator;
    this.#driver = driver;
    this.#worker = worker;
  }

  get peakMb(): number {
    return Math.max(...this.seconds.map(({ coordinatorMb }) => coordinatorMb));
  }

  /** For so many seconds, or until enough was seen. */
  async during(part: Second['part'], seconds: number, enough: (seconds: Second[]) => boolean = () => false): Promise<Second[]> {
    const from = this.seconds.length;
    await this.#look(part);
    this.seconds.length = from;
    do {
      await delay(1_000);
      await this.#look(part);
    } while (this.seconds.length - from < seconds && !enough(this.seconds.slice(from)));
    return this.seconds.slice(from);
  }

  async #look(part: Second['part']): Promise<void> {
    const [{ durable: completed }, counts] = await Promise.all([this.#worker.call('delivery'), this.#driver.call('counts')]);
    const now = { atMs: monotonicMs(), completed, accepted: counts.accepted, refused: sumOf(Object.values(counts.refused)) + counts.unsent };
    const perSecond = (what: 'completed' | 'accepted' | 'refused') => ((now[what] - this.#last[what]) * 1_000) / (now.atMs - this.#last.atMs);
    this.seconds.push({
      part, lastedMs: now.atMs - this.#last.atMs, completed: perSecond('completed'), accepted: perSecond('accepted'), refused: perSecond('refused'),
      coordinatorMb: (residentBytes(this.#coordinator.pid) ?? 0) / 1e6,
    });
    this.#last = now;
  }
}

/** How many seconds it took until those after them are as good as wanted. */
function secondsUntilBack(after: Second[], wanted: number): number {
  for (let second = 0; second + BACK_SECONDS <= after.length; second += 1) {
    if (meanOf(after.slice(second, second + BACK_SECONDS).map(({ completed }) => completed)) >= wanted) return second;
  }
  return Infinity;
}

/** Waits until nothing is left to do, and says whether all that was accepted has been done, once. */
async function untilDrained(database: BenchDatabase, worker: RoleProcess<WorkerMethods>, { accepted, acceptedIds }: DriverCounts): Promise<Check[]> {
  return withAdmin(database, async (client) => {
    await waitFor('the queue to run dry', DRAIN_DEADLINE_MS, async () => {
      const { rows } = await client.query<{ left: boolean }>(
        'SELECT EXISTS (SELECT FROM skiplease.ready) OR EXISTS (SELECT FROM skiplease.lease WHERE bit_count(settled) < length(settled)) AS left');
      return rows[0]!.left ? undefined : true;
    });
    await worker.call('stop');
    const { rows } = await client.query<{ jobs: number; succeeded: number; found: number }>(
      `SELECT (SELECT count(*) FROM skiplease.job)::int AS jobs, (SELECT count(*) FROM skiplease.outcome WHERE state = 4)::int AS succeeded,
              (SELECT count(*) FROM unnest($1::uuid[]) AS i (id) CROSS JOIN LATERAL
                 (SELECT FROM skiplease.outcome o WHERE o.job_id = i.id AND o.state = 4 OFFSET 0) x)::int AS found`, [acceptedIds]);
    const { jobs, succeeded, found } = rows[0]!;
    const delivery = await worker.call('delivery');
    return [
      check('nothing that was accepted is lost', succeeded === jobs && jobs >= accepted && found === acceptedIds.length,
        `${accepted} jobs accepted; ${jobs} there, ${succeeded} succeeded; of ${acceptedIds.length} accepted calls of the overload ${found}`),
      check('each job handled exactly once', delivery.duplicates === 0 && delivery.distinct === jobs, JSON.stringify(delivery)),
    ];
  });
}

function difference(after: DriverCounts, before: DriverCounts): DriverCounts {
  return { ...after, accepted: after.accepted - before.accepted };
}

/** In true seconds. */
function lengthOf(seconds: Second[], part: Second['part']): number {
  return sumOf(seconds.filter((second) => second.part === part).map(({ lastedMs }) => lastedMs)) / 1_000;
}

function meanOf(values: number[]): number {
  return values.length === 0 ? 0 : sumOf(values) / values.length;
}

function sumOf(values: number[]): number {
  return values.reduce((sum, value) => sum + value, 0);
}
