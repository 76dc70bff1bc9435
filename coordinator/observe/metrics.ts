import { collectDefaultMetrics, Registry } from 'prom-client';
import { BoundedNames, Counter, Gauge, Histogram, register } from './instruments.ts';
import type { MetricDescription } from './instruments.ts';
import { BLOCKED_REASONS, QueueCollector } from './queue_gauges.ts';
import type { QueueSample } from './queue_gauges.ts';
import { workloadJobs } from './workload.ts';

/** How many queues get a label of their own; whatever comes later is counted as "other". */
export const QUEUE_LABELS_MAX = 1_000;

/** Whoever scales workers is told of depths that are no older than this: milliseconds. */
const SCALED_ON_MS = 1_000;

const WAIT_BUCKETS = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 1_800, 7_200];
const STATEMENT_BUCKETS = [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5];
const BATCH_BUCKETS = [1, 2, 5, 10, 20, 50, 100, 200, 500, 1_000, 2_000, 5_000, 10_000];

export type CompletedOutcome = 'succeeded' | 'failed' | 'retried' | 'released' | 'snoozed' | 'cancelled';
export type ReceiptStatusName = 'accepted' | 'duplicate' | 'lease_lost' | 'cancelled' | 'invalid';

/** What a scrape asks for. Jobs are counted over all sessions of this coordinator. */
export interface GaugeSources {
  sessions(): number;
  windowJobs(): number;
  heldJobs(): number;
  /** Depths of every queue, from the database; asked for at most every few seconds, and only by a scrape. */
  queues(): Promise<QueueSample[]>;
}

/** What the coordinator last saw of the database. */
export interface DatabaseHealth {
  /** Names of what slows it down now: of a fixed set. */
  conditions: string[];
  oldestSnapshotSeconds: number;
  deadRows: { table: string; deadRows: number }[];
}

export type Metrics = ReturnType<typeof createMetrics>;

/** Every metric of a coordinator, each declared here and nowhere else. The engine calls the plain functions, once a batch. */
export function createMetrics() {
  const registry = new Registry();
  const queueNames = new BoundedNames(QUEUE_LABELS_MAX);
  const instruments: (Counter | Gauge | Histogram)[] = [];
  let sources: GaugeSources | undefined;
  let oldestPartitionSeconds: (() => number) | undefined;
  let health: DatabaseHealth = { conditions: [], oldestSnapshotSeconds: 0, deadRows: [] };
  let healthSeenAtMs = performance.now();

  const counter = (name: string, labels: readonly string[], help: string) => add(new Counter(`skiplease_${name}`, labels, help));
  const histogram = (name: string, buckets: readonly number[], help: string) => add(new Histogram(`skiplease_${name}`, buckets, help));
  const gauge = (name: string, help: string, read: (from: GaugeSources) => number) => add(new Gauge(`skiplease_${name}`, [], help,
    () => (sources === undefined ? [] : [{ value: read(sources), labels: {} }])));
  const queues = new QueueCollector(async () => {
    const samples = (await sources?.queues()) ?? [];
    samples.forEach(({ queue }) => startTroublesAtZero(queueNames.label(queue)));
    return samples;
  }, (reason) => errors.add(1, reason));
  const queueGauge = (name: string, help: string, read: (sample: QueueSample) => number | undefined, combine: 'sum' | 'max' = 'sum') =>
    add(new Gauge(`skiplease_${name}`, ['queue'], help, async () => byQueue(await queues.samples(), queueNames, read, combine)));

  function add<T extends Counter | Gauge | Histogram>(instrument: T): T {
    instruments.push(instrument);
    register(registry, instrument);
    return instrument;
  }

  const submitted = counter('submitted_jobs_total', ['queue'], 'Jobs committed by a submit; a repeated id is not counted.');
  const claimed = counter('claimed_jobs_total', ['queue'], 'Jobs leased from the ready table.');
  const handedOff = counter('handed_off_jobs_total', ['queue'], 'Jobs written straight into the lease of a worker that waited for them.');
  const completed = counter('completed_jobs_total', ['queue', 'outcome'],
    'Jobs whose hold ended by a report or a cancel: succeeded, failed (for good), retried, released, snoozed, cancelled.');
  const expired = counter('expired_jobs_total', ['queue'], 'Jobs whose lease ran out; each spent an attempt.');
  const released = counter('released_jobs_total', ['queue'],
    'Jobs that never reached a worker, or came back unstarted without a report; no attempt spent.');
  const ticks = counter('ticks_total', ['result'], 'Ticks of schedules, by what became of them here: run (a job was submitted), skipped.');
  const receipts = counter('receipts_total', ['status'], 'Receipts by job: accepted, duplicate, lease_lost, cancelled, invalid.');
  const statements = counter('statements_total', ['statement'], 'Statements sent to PostgreSQL on the hot path, by name.');
  const commits = counter('commits_total', ['statement'], 'Transactions committed on the hot path, by what they were for.');
  const dropped = counter('dropped_partitions_total', [], 'Old partitions dropped by this coordinator, with the jobs in them.');
  const carriedOver = counter('carried_over_jobs_total', [],
    'Old jobs that stayed when partitions were dropped: not final, or ended too recently.');
  const refusedSubmits = counter('refused_submits_total', ['reason'],
    'Submits that were turned away because there was too much: QUEUE_FULL, CLIENT_TOO_FAST, CLIENT_SUBMITS_WAITING, TOO_MANY_SUBMITS_WAITING, SUBMIT_WAITED_TOO_LONG, TOO_MANY_QUEUES.');
  const errors = counter('errors_total', ['reason'], 'Unexpected failures, by the reason of the error.');

  /** A series that appears with its first failures shows no rise, so nobody would be alerted. */
  function startTroublesAtZero(queue: string): void {
    completed.add(0, queue, 'failed');
    completed.add(0, queue, 'retried');
    expired.add(0, queue);
  }

  const wait = histogram('wait_seconds', WAIT_BUCKETS, 'From ready to leased, by job.');
  const run = histogram('run_seconds', WAIT_BUCKETS, 'From leased to the report, by job.');
  const claim = histogram('claim_seconds', STATEMENT_BUCKETS, 'One claim: all demand, one statement.');
  const settle = histogram('settle_seconds', STATEMENT_BUCKETS, 'One flush of reports, with its commit.');
  const submit = histogram('submit_seconds', STATEMENT_BUCKETS, 'One flush of submits, with its commit.');
  const claimJobs = histogram('claim_jobs', BATCH_BUCKETS, 'Jobs that one claim returned.');
  const settleJobs = histogram('settle_jobs', BATCH_BUCKETS, 'Outcomes in one flush of reports.');
  const submitJobs = histogram('submit_jobs', BATCH_BUCKETS, 'Jobs in one flush of submits.');

  gauge('sessions', 'Open streams of workers on this coordinator.', (from) => from.sessions());
  gauge('window_jobs', 'Jobs that the sessions of this coordinator may hold, in all.', (from) => from.windowJobs());
  gauge('held_jobs', 'Jobs that the sessions of this coordinator hold.', (from) => from.heldJobs());
  queueGauge('ready_jobs', 'Jobs that wait for a worker (counted up to 50,000). The same on every coordinator: do not sum.',
    (sample) => sample.ready);
  queueGauge('leased_jobs', 'Jobs that workers hold (counted up to 50,000). The same on every coordinator: do not sum.',
    (sample) => sample.leased);
  queueGauge('scheduled_jobs', 'Jobs that wait for their time, among the 50,000 due next. The same on every coordinator: do not sum.',
    (sample) => sample.scheduled);
  queueGauge('workload_jobs',
    'Jobs that workers could be at now: leased ones, and ready ones that may start. Scale workers on it. The same on every coordinator: do not sum.', workloadJobs);
  queueGauge('oldest_ready_age_seconds', 'How long the oldest ready job has waited; absent when none waits.',
    (sample) => sample.oldestReadyAgeSeconds, 'max');
  add(new Gauge('skiplease_blocked_jobs', ['queue', 'reason'],
    'Jobs that wait for a dependency, a serial_key or a limit_key (counted up to 50,000). The same on every coordinator: do not sum.',
    async () => {
      const samples = await queues.samples();
      return BLOCKED_REASONS.flatMap((reason) => byQueue(samples, queueNames, ({ blocked }) => blocked[reason], 'sum')
        .map(({ value, labels }) => ({ value, labels: { ...labels, reason } })));
    }));
  queueGauge('queue_paused', '1 while the queue is paused, else 0. The same on every coordinator: do not sum.',
    ({ paused }) => (paused ? 1 : 0), 'max');
  queueGauge('queue_served', '1 while some connected worker takes jobs of the queue, else 0. The same on every coordinator: do not sum.',
    ({ served }) => (served ? 1 : 0), 'max');

  add(new Gauge('skiplease_collector_age_seconds', ['collector'],
    'How old what this coordinator shows of the database is: queues (the depths) and health (condition, snapshot, dead rows).',
    async () => [
      { value: await queues.ageSeconds(), labels: { collector: 'queues' } },
      { value: (performance.now() - healthSeenAtMs) / 1_000, labels: { collector: 'health' } },
    ]));
  add(new Gauge('skiplease_condition', ['condition'],
    'Present, and 1, while it lasts: old_snapshot, vacuum_off, vacuum_behind, wrong_plan, slow_commits.',
    () => health.conditions.map((condition) => ({ value: 1, labels: { condition } }))));
  add(new Gauge('skiplease_oldest_snapshot_seconds', [], 'Age of the transaction that keeps the most dead rows from being cleaned away; 0: none.',
    () => [{ value: health.oldestSnapshotSeconds, labels: {} }]));
  add(new Gauge('skiplease_dead_rows', ['table'], 'Dead rows of the tables that live by vacuum, as PostgreSQL counts them.',
    () => health.deadRows.map(({ table, deadRows }) => ({ value: deadRows, labels: { table } }))));

  add(new Gauge('skiplease_oldest_partition_seconds', [],
    'Jobs younger than this are all still here; it grows beyond the retention while something delays the dropping of partitions.',
    () => (oldestPartitionSeconds === undefined ? [] : [{ value: oldestPartitionSeconds(), labels: {} }])));

  collectDefaultMetrics({ register: registry });

  return {
    submittedJobs: (queue: string, count: number) => submitted.add(count, queueNames.label(queue)),
    claimedJobs: (queue: string, count: number) => claimed.add(count, queueNames.label(queue)),
    handedOffJobs: (queue: string, count: number) => handedOff.add(count, queueNames.label(queue)),
    completedJobs: (queue: string, outcome: CompletedOutcome, count: number) => completed.add(count, queueNames.label(queue), outcome),
    expiredJobs: (queue: string, count: number) => expired.add(count, queueNames.label(queue)),
    releasedJobs: (queue: string, count: number) => released.add(count, queueNames.label(queue)),
    ticks: (result: 'run' | 'skipped', count: number) => ticks.add(count, result),
    receipts: (status: ReceiptStatusName, count: number) => receipts.add(count, status),
    statements: (statement: string, count = 1) => statements.add(count, statement),
    commits: (statement: string, count = 1) => commits.add(count, statement),
    /** `reason` as its error says it. */
    refusedSubmits: (reason: string, count: number) => refusedSubmits.add(count, reason),
    /** `reason` is one of the code's own constants, never text from outside. */
    error: (reason: string) => errors.add(1, reason),

    /** Seconds that `count` jobs waited between ready and leased. */
    waited: (seconds: number, count: number) => wait.observe(seconds, count),
    /** Seconds between the lease and the report, for `count` jobs. */
    ran: (seconds: number, count: number) => run.observe(seconds, count),
    /** One claim: how long the statement took, and the jobs it returned. */
    claim: (seconds: number, jobs: number) => (claim.observe(seconds), claimJobs.observe(jobs)),
    /** One flush of reports. */
    settle: (seconds: number, outcomes: number) => (settle.observe(seconds), settleJobs.observe(outcomes)),
    /** One flush of submits. */
    submit: (seconds: number, jobs: number) => (submit.observe(seconds), submitJobs.observe(jobs)),

    /** Old partitions are gone, and so many jobs of them stayed. */
    partitionsDropped: (partitions: number, jobsCarriedOver: number) => (dropped.add(partitions), carriedOver.add(jobsCarriedOver)),
    /** How the age of the oldest whole partition is read. */
    oldestPartition: (seconds: () => number) => {
      oldestPartitionSeconds = seconds;
    },
    /** What the guard saw last. */
    database: (seen: DatabaseHealth) => {
      health = seen;
      healthSeenAtMs = performance.now();
    },
    /** Where gauges are read from, once there is an engine. */
    readGaugesFrom: (from: GaugeSources) => {
      sources = from;
    },
    /** Depths of every queue, for whoever scales workers; undefined: they cannot be had now. */
    queueDepths: () => queues.recentSamples(SCALED_ON_MS),
    /** The text of a scrape, and its content type. */
    scrape: () => registry.metrics(),
    contentType: registry.contentType,
    /** What there is to see, for the README's table. */
    describe: (): MetricDescription[] => instruments.map(({ description }) => description),
  };
}

function byQueue(
  samples: QueueSample[], names: BoundedNames, read: (sample: QueueSample) => number | undefined, combine: 'sum' | 'max',
): { value: number; labels: { queue: string } }[] {
  const values = new Map<string, number>();
  for (const sample of samples) {
    const value = read(sample);
    if (value !== undefined) {
      const queue = names.label(sample.queue);
      const before = values.get(queue) ?? 0;
      values.set(queue, combine === 'sum' ? before + value : Math.max(before, value));
    }
  }
  return [...values].map(([queue, value]) => ({ value, labels: { queue } }));
}
