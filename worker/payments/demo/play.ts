/** The demo itself: start everything, submit, kill a worker on the way, wait for the end, tell and check what it came to. */
import { writeFileSync } from 'node:fs';
import { basename, join, relative } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import pg from 'pg';
import { JobClient, type StreamTotals } from '../../index.ts';
import { makeAuditTables } from '../audit_tables.ts';
import { readExpected, type ExpectedFile } from '../expected.ts';
import { IntentFileError, readIntentFile } from '../intent_file.ts';
import { checkInvariants, type Invariant } from '../invariants.ts';
import { newRun } from '../job_id.ts';
import { fileStreamOptions, paymentJobs, type UnreadableRow } from '../payment_jobs.ts';
import { countRun, type RunCounts } from './counts.ts';
import { endTheDay } from './day_end.ts';
import type { Fleet } from './fleet.ts';
import { killLeaseHolder, readRedeliveries, type Kill } from './kill.ts';
import { Operator } from './operator.ts';
import type { DemoOptions } from './options.ts';
import { showProgress, type Progress } from './progress.ts';
import { reportTable } from './report.ts';
import * as tell from './tell.ts';

/** Says why the demo could not be played to its end. */
export class DemoError extends Error {}

const workerCount = 2;
/** A worker holds the lease that it works on, and the next. */
const leasesPerWorker = 2;
const lookIntervalMs = 40;
const lookIntervalMsMax = 1_000;
/** Without a single job ending for so long, something is stuck. */
const stallDeadlineMs = 60_000;

const print = (text: string): void => void process.stdout.write(`${text}\n`);

interface Stage {
  options: DemoOptions;
  run: string;
  fleet: Fleet;
  client: pg.Client;
  operator: Operator;
  total: number;
  windowJobs: number;
}

interface Killed extends Kill {
  atMs: number;
  /** When the coordinator had given up its leases, after the kill. */
  expiredAfterMs: number | undefined;
  /** Resolves when another worker is connected in its place. */
  successor: Promise<void>;
}

/** Is it time? Once so many jobs have ended; or when what may be the last lease is out, and no later one is to be expected. */
function isTimeToKill(counts: RunCounts, { total, options }: Stage, submitted: boolean): boolean {
  const { done, failed, ready, leased } = counts;
  const isLastLease = submitted && ready === 0 && leased > 0 && leased <= options.leaseJobsMax;
  return done + failed >= (total * options.killAtPercent) / 100 || isLastLease;
}

async function killOne(stage: Stage, progress: Progress, counts: RunCounts, started?: () => void): Promise<Killed> {
  const { client, fleet, operator, total } = stage;
  const kill = await killLeaseHolder(fleet, operator, started);
  const atMs = performance.now();
  const references = (await readRedeliveries(client, kill)).map(({ reference }) => reference);
  progress.say(tell.killed(kill, references, Math.floor(((counts.done + counts.failed) * 100) / total)));
  const successor = fleet.startWorker(workerCount + 1, stage.windowJobs).then(({ child }) => progress.say(tell.replaced(kill, child)));
  // Awaited at the end; until then its failure must not end the process by itself.
  successor.catch(() => {});
  return { ...kill, atMs, expiredAfterMs: undefined, successor };
}

/** From the first submit to the last job's end. */
async function work(stage: Stage, unreadable: UnreadableRow[]): Promise<{ kill: Killed; totals: StreamTotals }> {
  const { options, run, client, operator, total } = stage;
  const jobs = new JobClient({ addresses: [stage.fleet.coordinatorAddress] });
  const progress = showProgress(total);
  let totals: StreamTotals | undefined;
  let failure: Error | undefined;
  const submit = (): void => {
    const source = paymentJobs({ path: options.path, run, queue: stage.fleet.queue, jobCount: options.jobCount, onUnreadable: (row) => unreadable.push(row) });
    jobs.stream(source, fileStreamOptions).then(
      (result) => { totals = result; },
      (error: Error) => { failure = error; },
    );
  };
  try {
    let kill: Killed | undefined;
    const nothing: RunCounts = { done: 0, failed: 0, ready: 0, leased: 0, retrying: 0, capped: false };
    // So few jobs that all go out at once: there is no half-way, so the workers are stopped before the first is handed out.
    if (total <= workerCount * stage.windowJobs) kill = await killOne(stage, progress, nothing, submit);
    else submit();
    let lastEnded = 0;
    let lastEndedMs = performance.now();
    for (;;) {
      if (failure !== undefined) throw failure;
      stage.fleet.checkAlive();
      const lookedMs = performance.now();
      const counts = await countRun(client, operator, run);
      const lookMs = performance.now() - lookedMs;
      progress.update(counts);
      const ended = counts.done + counts.failed;
      if (kill === undefined && isTimeToKill(counts, stage, totals !== undefined)) kill = await killOne(stage, progress, counts);
      if (kill !== undefined && kill.expiredAfterMs === undefined && (await operator.leasesOf(kill.worker.id)).length === 0) {
        kill.expiredAfterMs = performance.now() - kill.atMs;
      }
      if (totals !== undefined && kill !== undefined && ended >= total) {
        await kill.successor;
        return { kill, totals };
      }
      if (ended > lastEnded) [lastEnded, lastEndedMs] = [ended, performance.now()];
      if (performance.now() - lastEndedMs > stallDeadlineMs) {
        throw new DemoError(`No job has ended for ${stallDeadlineMs / 1000} s: ${tell.number(ended)} of ${tell.number(total)} have.`);
      }
      // Looking must not become the load, however many jobs there are.
      await delay(Math.min(Math.max(lookIntervalMs, 3 * lookMs), lookIntervalMsMax));
    }
  } catch (error) {
    // What a process that has gone says of itself is more than what was noticed of its absence.
    stage.fleet.checkAlive();
    throw error;
  } finally {
    progress.stop();
    jobs.close();
  }
}

async function redeliveryInvariant(stage: Stage, kill: Killed): Promise<Invariant> {
  const redeliveries = await readRedeliveries(stage.client, kill);
  const listFile = join(stage.fleet.folder, 'killed_jobs.csv');
  writeFileSync(listFile, tell.redeliveryList(kill, redeliveries));
  print(tell.redelivered(kill, redeliveries, kill.expiredAfterMs, relative('.', listFile)));
  const culprits = redeliveries.filter(({ outcome }) => outcome === null).map(({ reference }) => `${reference} was left by it, and has not ended`);
  culprits.push(...redeliveries.filter(({ capturedBefore, worker }) => capturedBefore && worker !== kill.worker.id)
    .map(({ reference }) => `${reference} was captured by it, and not completed in the same transaction`));
  return { title: 'what the killed worker left was finished by others, or complete', held: culprits.length === 0, measure: tell.plural(redeliveries.length, 'job'), culprits };
}

/** What the file must come to. Throws IntentFileError, with the first problems, for a file that cannot be used at all. */
async function readFile(path: string): Promise<ExpectedFile> {
  const expected = readExpected(path);
  const problems: UnreadableRow[] = [];
  for await (const read of readIntentFile(path)) {
    if (expected.rows.length > 0) break;
    if ('problem' in read) problems.push(read);
  }
  if (expected.rows.length === 0) throw new IntentFileError(`Not one row of ${path} can be read.\n${tell.unreadable(problems)}`);
  return expected;
}

/** Plays the demo with a fleet that the caller will stop. True when every invariant held. */
export async function play(options: DemoOptions, fleet: Fleet, run = newRun()): Promise<boolean> {
  const expected = await readFile(options.path);
  const total = options.jobCount ?? expected.rows.length;
  const windowJobs = leasesPerWorker * options.leaseJobsMax;
  print(tell.heading());
  print(tell.fact('file', `${basename(options.path)}, ${tell.plural(expected.rows.length, 'intent')}${total === expected.rows.length ? '' : `, repeated to ${tell.number(total)}`}`));

  const coordinator = await fleet.startCoordinator();
  print(tell.fact('coordinator', `${coordinator.grpcAddress}, ${coordinator.database}`));
  const operator = new Operator(coordinator.grpcAddress, fleet.queue);
  const client = new pg.Client({ connectionString: coordinator.databaseUrl, application_name: 'payments demo' });
  // A connection that breaks is reported by its next use; without a listener it would end the process.
  client.on('error', () => {});
  try {
    await client.connect();
    await operator.setLeaseJobsMax(options.leaseJobsMax);
    const workers = await Promise.all(Array.from({ length: workerCount }, (_, index) => fleet.startWorker(index + 1, windowJobs)));
    print(tell.fact('workers', `${workers.map(({ child }) => `${child.name} (pid ${child.pid})`).join(', ')}; up to ${tell.plural(options.leaseJobsMax, 'job')} a lease`));
    print('');

    const startedMs = performance.now();
    const unreadable: UnreadableRow[] = [];
    const { kill, totals } = await work({ options, run, fleet, client, operator, total, windowJobs }, unreadable);
    const seconds = (performance.now() - startedMs) / 1000;
    print('');
    if (unreadable.length > 0) print(`${tell.unreadable(unreadable)}\n`);
    for (const { jobIds, error } of totals.refusals) print(`  ${tell.plural(jobIds.length, 'job')} were refused: ${error?.message}`);

    const redelivery = await redeliveryInvariant({ options, run, fleet, client, operator, total, windowJobs }, kill);
    await makeAuditTables(client, { run, rows: expected.rows, jobCount: total });
    print(`\n${await reportTable(client, run)}\n`);
    const captured = [...await checkInvariants(client, run), redelivery];
    const closing = await endTheDay({
      address: fleet.coordinatorAddress, databaseUrl: coordinator.databaseUrl, client, run, queue: `${fleet.queue}-statements`, say: print,
    });
    const invariants = [...captured, ...closing];
    print('');
    print(tell.invariants(invariants));
    print(tell.ending(invariants, total, seconds));
    return invariants.every(({ held }) => held);
  } finally {
    operator.close();
    await client.end().catch(() => {});
  }
}
