/**
 * Many submits of few keys at once, on two coordinators whose workers end jobs meanwhile: at no time do two jobs that are not
 * final have one key, and every answer names a job that has it.
 */
import { status, type ServiceError } from '@grpc/grpc-js';
import anyTest, { type ExecutionContext } from 'ava';
import fc from 'fast-check';
import pg from 'pg';
import { UniqueConflict, UniqueScope } from '../../proto/gen/skiplease/v1/job.ts';
import type { LeaseResponse } from '../../proto/gen/skiplease/v1/worker_service.ts';
import { CancelJobsRequest } from '../../proto/gen/skiplease/v1/job_service.ts';
import { call, failedForGood, jobSpec, refusalOf, startRpc, succeeded } from '../support/rpc_clients.ts';
import type { Rpc } from '../support/rpc_clients.ts';
import { PROPERTY_MS } from '../support/store_properties.ts';
import { holdsFor } from '../support/timed_property.ts';

const test = anyTest.serial;
const { RETURN_EXISTING, REJECT, REPLACE } = UniqueConflict;
const QUEUE = 'q';

let coordinators: Rpc[];
let database: pg.Pool;
test.before(async () => {
  const rpc = await startRpc();
  coordinators = [rpc, await startRpc({}, rpc.databaseUrl)];
  database = new pg.Pool({ connectionString: rpc.databaseUrl, max: 2 });
  await rpc.submit(jobSpec({ queue: QUEUE }));
});
test.after.always(async () => {
  await database?.end();
  await coordinators?.[1]?.stop();
  await coordinators?.[0]?.stop();
});

/** Keys that two jobs have that are not final, in one snapshot. */
async function shared(): Promise<object[]> {
  const { rows } = await database.query<{ key: string; ids: string[] }>(`
    select options #>> '{unique,key}' as key, options #>> '{unique,scope}' as scope, case when options #>> '{unique,scope}' = 'queue' then '' else type end as type, array_agg(id) as ids
      from skiplease.job j where options ? 'unique' and not exists (select from skiplease.outcome where job_id = j.id)
     group by 1, 2, 3 having count(*) > 1`);
  return rows;
}

/** Ends what it is leased, some of it with success. */
async function work(rpc: Rpc): Promise<() => void> {
  const worker = await rpc.worker({ queues: [QUEUE], jobs: 3 });
  const onLease = ({ message }: LeaseResponse) => {
    if (message?.$case === 'lease') {
      const outcomes = message.value.jobs.map(({ id }, index) => (index % 2 === 0 ? succeeded(id) : failedForGood(id, 'X', '')));
      worker.say({ $case: 'report', value: { token: message.value.token, outcomes } });
    }
  };
  worker.received.forEach(onLease);
  worker.stream.on('data', onLease);
  return () => worker.cut();
}

const keyed = fc.record({
  key: fc.constantFrom('a', 'b', 'c'),
  type: fc.constantFrom('t', 'u'),
  scope: fc.constantFrom(UniqueScope.QUEUE, UniqueScope.QUEUE_AND_TYPE),
  onConflict: fc.constantFrom(RETURN_EXISTING, RETURN_EXISTING, RETURN_EXISTING, REPLACE, REPLACE, REPLACE, REJECT),
  waits: fc.boolean(),
});
const caller = fc.record({ coordinator: fc.nat(1), jobs: fc.array(keyed, { minLength: 1, maxLength: 4 }), thenCancels: fc.boolean() });
type Caller = typeof caller extends fc.Arbitrary<infer Value> ? Value : never;

const seen = { created: 0, namedInstead: 0 };

async function submitThem(t: ExecutionContext, { coordinator, jobs, thenCancels }: Caller): Promise<void> {
  const rpc = coordinators[coordinator]!;
  const specs = jobs.map(({ key, type, scope, onConflict, waits }) => jobSpec({
    queue: QUEUE, type, unique: { key, scope, onConflict, lifetime: undefined }, start: waits ? { $case: 'delay', value: { seconds: 3_600, nanos: 0 } } : undefined,
  }));
  const answer = await call(rpc.jobs, 'submitJobs', { jobs: specs }).catch((error: ServiceError) => {
    // One whose job is locked for long, on a busy machine, is asked to come again.
    t.true(['UNIQUE_KEY_TAKEN', 'DATABASE_BUSY'].includes(refusalOf(error).reason), error.message);
    return undefined;
  });
  if (answer === undefined) {
    return;
  }
  seen.created += answer.jobIds.length - answer.existingJobIds.length;
  seen.namedInstead += answer.existingJobIds.length;
  for (const [index, id] of answer.jobIds.entries()) {
    const { unique, type } = await rpc.get(id);
    const wanted = jobs[index]!;
    t.like(unique, { key: wanted.key, scope: wanted.scope });
    t.true(wanted.scope === UniqueScope.QUEUE || type === wanted.type);
  }
  if (thenCancels) {
    // One that is on the move may be missed.
    await call(rpc.jobs, 'cancelJobs', CancelJobsRequest.create({ jobIds: answer.jobIds })).catch((error: ServiceError) => t.is(error.code, status.ABORTED));
  }
}

/** All callers at once, and looks as often as they can be had. */
async function atOnce(t: ExecutionContext, callers: Caller[], working: boolean): Promise<void> {
  const stops = working ? await Promise.all(coordinators.map(work)) : [];
  let running = true;
  const looking = (async () => {
    while (running) {
      t.deepEqual(await shared(), []);
    }
  })();
  await Promise.all(callers.map((one) => submitThem(t, one))).finally(() => {
    running = false;
    stops.forEach((stop) => stop());
  });
  await looking;
}

test('at most one job that is not final has a key, at any time', async (t) => {
  let runs = 0;
  await holdsFor(PROPERTY_MS, [fc.array(caller, { minLength: 10, maxLength: 60 }), fc.boolean()], (callers, working) => {
    runs += 1;
    return atOnce(t, callers, working);
  });
  t.log(`${runs} runs, ${JSON.stringify(seen)}`);
  t.true(seen.created > 0 && seen.namedInstead > 0);
});
