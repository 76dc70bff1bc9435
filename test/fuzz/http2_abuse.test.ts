/** Clients that abuse HTTP/2 itself: the coordinator's memory stays below its bound, and others are served meanwhile. */
import test from 'ava';
import { GoodCitizen } from './good_citizen.ts';
import { ATTACKS } from './http2/attacks.ts';
import { Witness } from './witness.ts';
import { data, jobSpec, startRpc, type Rpc } from '../support/rpc_clients.ts';

/** What clients may make it hold, and what all of the process may come to: the rest is what it is made of, and garbage. */
const CLIENT_BYTES_MAX = 67_108_864;
const MEMORY_MAX_MIB = 512;
/** Some tenths of a second on an idle machine; tests run beside others. */
const JOB_P99_MS_MAX = 15_000;
const ATTACK_MS = 400;
const GOOD_JOBS_MIN = 10;
const DEADLINE_MS = 30_000;
const PAYLOAD_BYTES = 900_000;

let rpc: Rpc;
let witness: Witness;
let jobId: string;
const problems: string[] = [];

test.before(async () => {
  rpc = await startRpc({ SKIPLEASE_CLIENT_BYTES_MAX: String(CLIENT_BYTES_MAX), SKIPLEASE_RECEIVE_BYTES_MAX: '1000000', SKIPLEASE_PAYLOAD_BYTES_MAX: '900000' });
  witness = new Witness(rpc.coordinator, (problem) => problems.push(problem));
  [jobId] = await rpc.submit(jobSpec({ queue: 'large', payload: data('x'.repeat(PAYLOAD_BYTES)) })) as [string];
});

test.after.always(() => {
  witness?.leave();
  return rpc?.stop();
});

for (const [name, attack] of Object.entries(ATTACKS)) {
  test.serial(`${name}: bounded, and others are served`, async (t) => {
    const good = new GoodCitizen(rpc.coordinator.grpcAddress);
    const sinceMs = performance.now();
    witness.memoryMaxMiB = 0;
    const connections = await attack({
      address: rpc.coordinator.grpcAddress, jobId,
      goesOn: () => !witness.ended && (performance.now() - sinceMs < ATTACK_MS || good.jobs < GOOD_JOBS_MIN) && performance.now() - sinceMs < DEADLINE_MS,
    });
    const { jobs, jobP99Ms, submitP99Ms } = await good.leave(DEADLINE_MS);
    t.log(`${connections.length} connections; beside them ${jobs} jobs, p99 ${jobP99Ms} ms, submits p99 ${submitP99Ms} ms; memory ${witness.memoryMaxMiB} MiB`);
    t.deepEqual(good.problems, []);
    t.deepEqual(problems.splice(0), []);
    t.true(jobP99Ms <= JOB_P99_MS_MAX, `${jobP99Ms} ms`);
    t.true(witness.memoryMaxMiB <= MEMORY_MAX_MIB, `${witness.memoryMaxMiB} MiB`);
  });
}
