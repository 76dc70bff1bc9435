/** The worker library while connections break, coordinators come and go, and its own process is told to stop. */
import test from 'ava';
import { Worker } from '../../worker/index.ts';
import { startWorld } from '../support/lease_world.ts';
import type { Member, World } from '../support/lease_world.ts';
import { makeEffectsFile, readEffects, startWorkerProcess, timesDone } from '../support/lease_workers.ts';
import { startTcpProxy } from '../support/tcp_proxy.ts';
import { waitFor, within } from '../support/wait.ts';
import { Gate, KeptLog } from '../unit/worker_parts.ts';

const deadlineMs = 20_000;

/** One after the other: coordinators come and go, and two cores are not many. */
let world: World;

test.before(async () => {
  world = await startWorld({ coordinators: 2, leaseTtlMs: 6_000 });
});

test.after.always(async () => {
  await world?.end();
});

async function submit(member: Member, queue: string, count: number): Promise<string[]> {
  const jobs = Array.from({ length: count }, () => ({ queue, type: 'work' }));
  return (await member.client.submitMany(jobs)).map(({ id }) => id);
}

interface Started {
  log: KeptLog;
  gate: Gate;
  stop: () => Promise<void>;
}

/** A worker whose jobs end when the test says so. */
function work(t: { teardown(undo: () => unknown): void }, queue: string, addresses: readonly string[]): Started {
  const [log, gate] = [new KeptLog(), new Gate()];
  const handlers = { work: gate.handler };
  const worker = new Worker({ addresses, queues: [queue], handlers, handleSignals: false, drainDeadlineMs: 0, logger: log });
  const running = worker.run();
  const stop = async (): Promise<void> => {
    await worker.stop();
    await running;
  };
  t.teardown(stop);
  return { log, gate, stop };
}

test.serial('a connection cut in the middle of a handler: it runs once, attempt 1, and another coordinator gives the receipt', async (t) => {
  const [first, second] = world.members;
  const proxy = await startTcpProxy(first!.grpcAddress);
  t.teardown(() => proxy.close());
  const { log, gate, stop } = work(t, 'cut', [proxy.address, second!.grpcAddress]);
  const jobIds = await submit(world.members[0]!, 'cut', 5);
  await waitFor(() => gate.started.length === 5, { deadlineMs, what: 'the handlers to start' });
  const [before] = await first!.operator.workers('cut');
  t.is(before!.coordinatorId, first!.coordinatorId);

  const cutAt = performance.now();
  proxy.cut();
  await waitFor(() => log.events('connected').length === 2, { deadlineMs, what: 'the worker to be connected again' });
  const tookMs = performance.now() - cutAt;
  t.like(log.events('connected')[1]!.fields, { address: second!.grpcAddress, leases_lost: 0, jobs_stopped: 0 });
  t.log(`resumed elsewhere after ${Math.round(tookMs)} ms`);
  gate.open();
  const ended = await world.records.untilEnded(jobIds);
  t.true(ended.every(({ state, attempt }) => state === 'SUCCEEDED' && attempt === 1));
  t.deepEqual(await world.records.tried(jobIds), []);
  t.deepEqual(gate.started.toSorted(), jobIds.toSorted(), 'each handler ran once');
  const [after] = await second!.operator.workers('cut');
  t.like(after, { coordinatorId: second!.coordinatorId, instanceId: before!.instanceId });
  t.is(proxy.connections(), 0, 'nothing went back over the broken way');
  await stop();
  t.is(log.events('receipts_missing').length, 0);
});

test.serial('a connection that swallows everything is left for another before the leases are lost', async (t) => {
  const [first, second] = world.members;
  const proxy = await startTcpProxy(first!.grpcAddress);
  t.teardown(() => proxy.close());
  const { log, gate } = work(t, 'swallowed', [proxy.address, second!.grpcAddress]);
  const jobIds = await submit(world.members[0]!, 'swallowed', 4);
  await waitFor(() => gate.started.length === 4, { deadlineMs, what: 'the handlers to start' });
  proxy.freeze(true);
  await waitFor(() => log.events('connected').length === 2, { deadlineMs, what: 'the worker to be connected elsewhere' });
  t.like(log.events('moving')[0]!.fields, { address: proxy.address, reason: 'silence' });
  t.like(log.events('connected')[1]!.fields, { address: second!.grpcAddress, leases_lost: 0, jobs_stopped: 0 });
  gate.open();
  const ended = await world.records.untilEnded(jobIds);
  t.true(ended.every(({ state, attempt }) => state === 'SUCCEEDED' && attempt === 1));
  t.deepEqual(await world.records.tried(jobIds), []);
});

test.serial('SIGTERM: what runs is finished, what has not started goes back with no attempt spent, and the process exits 0', async (t) => {
  const jobIds = await submit(world.members[0]!, 'sigterm', 10);
  const effectsFile = await makeEffectsFile();
  const worker = await startWorkerProcess({
    addresses: world.addresses, queue: 'sigterm', workerId: 'stopped', effectsFile, concurrency: 2, windowJobs: 10, workMs: 1_500,
  });
  t.teardown(() => worker.kill('SIGKILL'));
  const begun = async (): Promise<string[]> =>
    (await readEffects(effectsFile)).filter(({ moment }) => moment === 'begun').map(({ jobId }) => jobId);
  await waitFor(async () => (await begun()).length === 2, { deadlineMs, what: 'two handlers to start' });
  worker.kill('SIGTERM');
  t.is(await within(worker.exited, deadlineMs, 'the worker to exit'), 0);

  const started = await begun();
  t.is(started.length, 2);
  t.deepEqual([...timesDone(await readEffects(effectsFile)).keys()].toSorted(), started.toSorted());
  const ended = await world.records.ended(jobIds);
  t.deepEqual(ended.map(({ jobId, state, attempt }) => [jobId, state, attempt]), started.toSorted().map((id) => [id, 'SUCCEEDED', 1]));
  const others = jobIds.filter((id) => !started.includes(id)).toSorted();
  const ready = await world.records.ready(jobIds);
  t.deepEqual(ready.map(({ jobId }) => jobId).toSorted(), others);
  t.true(ready.every(({ attempt }) => attempt === 1), 'their first attempt is still to come');
  t.deepEqual(await world.records.tried(jobIds), []);
});

test.serial('a second SIGTERM exits at once, with code 1', async (t) => {
  const effectsFile = await makeEffectsFile();
  const worker = await startWorkerProcess({
    addresses: world.addresses, queue: 'impatient', workerId: 'impatient', effectsFile, concurrency: 1, windowJobs: 1, workMs: 60_000,
  });
  t.teardown(() => worker.kill('SIGKILL'));
  await submit(world.members[0]!, 'impatient', 1);
  await waitFor(async () => (await readEffects(effectsFile)).length === 1, { deadlineMs, what: 'the handler to start' });
  worker.kill('SIGTERM');
  await worker.line((line) => line.includes('"event":"stopping"'), deadlineMs, 'the worker to say that it stops');
  worker.kill('SIGTERM');
  t.is(await within(worker.exited, deadlineMs, 'the worker to exit'), 1);
});

test.serial('a coordinator that stops sends its worker on; the worker moves before the stream ends, and nothing is stopped', async (t) => {
  const [first, second] = world.members;
  const addresses = [first!.grpcAddress, second!.grpcAddress];
  const { log, gate } = work(t, 'drained', addresses);
  const jobIds = await submit(world.members[0]!, 'drained', 3);
  await waitFor(() => gate.started.length === 3, { deadlineMs, what: 'the handlers to start' });
  t.is(await first!.stop(), 0);
  t.like(log.events('moving')[0]!.fields, { address: first!.grpcAddress, reason: 'drain' });
  t.like(log.events('connected')[1]!.fields, { address: second!.grpcAddress, leases_lost: 0, jobs_stopped: 0 });
  t.deepEqual(log.events('disconnected'), [], 'it had moved before');
  gate.open();
  const ended = await world.records.untilEnded(jobIds);
  t.true(ended.every(({ state, attempt }) => state === 'SUCCEEDED' && attempt === 1));
  t.is(gate.started.length, 3);
  await world.join();
});

test.serial('a coordinator is killed: its worker goes on with another within a second, and no attempt is spent', async (t) => {
  const [, second, first] = world.members;
  const addresses = [first!.grpcAddress, second!.grpcAddress];
  const { log, gate } = work(t, 'killed', addresses);
  const jobIds = await submit(second!, 'killed', 8);
  await waitFor(() => gate.started.length === 8, { deadlineMs, what: 'the handlers to start' });
  const killedAt = performance.now();
  first!.kill('SIGKILL');
  await waitFor(() => log.events('connected').length === 2, { deadlineMs, what: 'the worker to be connected again' });
  const tookMs = performance.now() - killedAt;
  t.true(tookMs < 1_000, `resumed after ${tookMs} ms`);
  t.like(log.events('connected')[1]!.fields, { address: second!.grpcAddress, leases_lost: 0, jobs_stopped: 0 });
  gate.open();
  const ended = await world.records.untilEnded(jobIds);
  t.true(ended.every(({ state, attempt }) => state === 'SUCCEEDED' && attempt === 1));
  t.is(gate.started.length, 8);
});
