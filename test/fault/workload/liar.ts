/**
 * A worker that lies, by hand on the stream: it reports twice and contradicts itself, reports what it does not hold, makes up tokens and resumes
 * with them, comes back with leases that were lost long ago, or says nothing at all. Some jobs it does as it should. Only its claims
 * that are true may have an effect.
 */
import { randomBytes } from 'node:crypto';
import { setTimeout as delay } from 'node:timers/promises';
import type { Lease, LeaseInfo } from '../../../proto/gen/skiplease/v1/worker_service.ts';
import { failed, LeaseClient, released, succeeded } from '../../support/lease_client.ts';
import { Operator } from '../../support/lease_operator.ts';
import { History } from '../history/history.ts';
import { Random } from '../random.ts';
import type { QueueName } from './queues.ts';
import { historyName, readSettings, sayReady } from './settings.ts';
import { tapStreams } from './tap.ts';

/** Not those whose jobs ask for effects that only an honest worker has. */
const QUEUES: QueueName[] = ['plain', 'serial', 'limited', 'keyed', 'waiting'];
const WINDOW_JOBS = 12;
/** Old leases that it comes back to. */
const REMEMBERED_MAX = 40;
/** Lives at once, each with a stream of its own. */
const LIVES = 2;
/** After a life that could not begin. */
const PAUSE_MS = 300;

const settings = readSettings();
const random = new Random(settings.seed);
tapStreams(new History(settings.historyFolder, historyName(settings)));

const remembered: Lease[] = [];
const madeUp = (leaseId: bigint | number | string): string => `${leaseId}.${randomBytes(8).toString('hex')}`;
const resultOf = (lease: Lease) => ({ result: JSON.stringify({ lease: lease.token.split('.')[0] }) });

let stopping = false;
process.on('SIGTERM', () => (stopping = true));
sayReady();
await Promise.all(Array.from({ length: LIVES }, () => live()));
process.exit(0);

async function live(): Promise<void> {
  for (let instance: string | undefined; !stopping; ) {
    const address = random.pick(settings.addresses);
    const stream = new LeaseClient(address);
    stream.listen((message) => message.$case === 'lease' && take(stream, message.value));
    try {
      await stream.hello({
        queues: QUEUES, jobs: WINDOW_JOBS, workerId: settings.name, heldTokens: await heldTokens(address), heartbeats: random.chance(0.7),
        ...(instance && { instanceId: instance }),
      });
      await Promise.race([delay(random.between(500, settings.leaseTtlMs * 2)), stream.ended]);
      if (random.chance(0.5)) await claimWhatOthersHold(stream, address);
      // Silent for longer than its leases live, or resumed by its next life, or handed back in peace.
      if (random.chance(0.3)) await fallSilent(stream);
      instance = random.chance(0.5) ? stream.instanceId : undefined;
      if (random.chance(0.5)) await stream.leave();
    } catch {
      await delay(PAUSE_MS);
    } finally {
      await stream.cancel();
    }
  }
}

/** What its hello names: leases that it may hold, has lost, and never had, and those that others hold by their right numbers. */
async function heldTokens(address: string): Promise<string[]> {
  const old = remembered.filter(() => random.chance(0.5)).map(({ token }) => token);
  const last = Number(remembered.at(-1)?.token.split('.')[0] ?? 1);
  const numbers = [last, Math.max(1, last + random.between(-20, 20)), ...(await leasesNow(address)).map(({ leaseId }) => leaseId)];
  return [...new Set([...old, ...numbers.map(madeUp)])];
}

async function leasesNow(address: string): Promise<LeaseInfo[]> {
  const operator = new Operator(address);
  try {
    return (await operator.leases()).slice(0, 20);
  } finally {
    operator.close();
  }
}

function take(stream: LeaseClient, lease: Lease): void {
  remembered.push(lease);
  if (remembered.length > REMEMBERED_MAX) remembered.shift();
  const { token, jobs } = lease;
  const say = (of: string, outcomes: ReturnType<typeof succeeded>[]): void => stream.send({ $case: 'report', value: { token: of, outcomes } });
  const good = jobs.map(({ id }) => succeeded(id, resultOf(lease)));
  const bad = jobs.map(({ id }) => failed(id, { permanent: true }));
  const how = random.next();
  if (how < 0.4) return say(token, good);
  if (how < 0.5) return [good, good].forEach((outcomes) => say(token, outcomes));
  if (how < 0.6) return [good, bad, jobs.map(({ id }) => released(id))].forEach((outcomes) => say(token, outcomes));
  if (how < 0.65) return say(token, jobs.map(({ id }) => released(id)));
  if (how < 0.75) {
    // With an old lease's token, and with one that is almost right: the jobs are held, but not under these.
    const older = random.pick(remembered);
    if (older !== lease) say(older.token, good);
    say(madeUp(token.split('.')[0]!), bad);
    return say(token, good);
  }
  if (how < 0.85) return void delay(random.between(100, settings.leaseTtlMs)).then(() => say(token, good));
  // Nothing is said of the rest: they wait for the end of this life.
}

/** Reports of jobs that other workers hold, under made-up tokens of the right numbers and under its own. */
async function claimWhatOthersHold(stream: LeaseClient, address: string): Promise<void> {
  const mine = remembered.at(-1);
  for (const { leaseId, jobIds } of await leasesNow(address)) {
    stream.send({ $case: 'report', value: { token: madeUp(leaseId), outcomes: jobIds.map((id) => failed(id, { permanent: true })) } });
    if (mine === undefined || mine.token.startsWith(`${leaseId}.`)) continue;
    stream.send({ $case: 'report', value: { token: mine.token, outcomes: jobIds.map((id) => succeeded(id, resultOf(mine))) } });
  }
}

/** Nothing is read for a while, in which a stream without heartbeats is given up; then everything that was ever held is reported. */
async function fallSilent(stream: LeaseClient): Promise<void> {
  stream.call.pause();
  await delay(settings.leaseTtlMs * random.between(1, 3));
  stream.call.resume();
  for (const lease of remembered) {
    stream.send({ $case: 'report', value: { token: lease.token, outcomes: lease.jobs.map(({ id }) => succeeded(id, resultOf(lease))) } });
  }
}
