/**
 * The hot statements go by index and read few blocks, whatever the statistics say: on empty tables, on 200,000 rows with
 * statistics of empty ones, on fresh ones, and on empty tables with statistics of full ones.
 */
import test, { type ExecutionContext } from 'ava';
import { v7 as uuidv7 } from 'uuid';
import { Bits } from '../../coordinator/bits.ts';
import { newSecret } from '../../coordinator/engine/token.ts';
import { newJobs, rowsOf } from '../support/store_jobs.ts';
import { watchPlans, type Plan, type PlanWatch } from '../support/store_plans.ts';
import { StoreWorld, type Claimed, type StoreCoordinator } from '../support/store_world.ts';

const ROWS = 200_000;
const JOBS = 100;
/** Everything that grows with the work, and its partitions. */
const LARGE = /^(ready|scheduled|lease|job|outcome|attempt|progress|batch)(_|$)/;
/** Blocks that a statement may read for each of its 100 jobs: two or three indexes, three levels deep, with their heaps. */
const BLOCKS_PER_JOB_MAX = 15;
/** Blocks that a statement may read beside. The look at the levels steps from one of 50 queues to the next. */
const BLOCKS_MAX = 300;

/** A statement of the hot path, how it is recognised among the plans, and how it is run for so many jobs. */
interface Hot {
  name: string;
  text: RegExp;
  run(): Promise<unknown>;
}

function settleAll({ leaseId, secret, jobIds }: Claimed) {
  const add = new Bits(jobIds.length);
  jobIds.forEach((_, place) => add.set(place));
  return {
    lease: { leaseId, secret, expected: new Bits(jobIds.length), add },
    rows: jobIds.map((jobId) => ({ jobId, leaseId, attempt: 1, result: null, resultType: null, batchId: null })),
  };
}

function statements(world: StoreWorld, coordinator: StoreCoordinator, queueId: number): Hot[] {
  const { store, id } = coordinator;
  const other = uuidv7();
  const fresh = async () => {
    await store.submit(rowsOf(queueId, newJobs(JOBS)));
    return (await coordinator.claim(queueId, JOBS, { mark: await markOf(world) }))!;
  };
  let mark = 0n;
  const markOf = async (of: StoreWorld) => {
    const last = mark;
    mark = BigInt(await of.value<string>('select last_value from skiplease.position')) * 16_384n + 16_383n;
    return last;
  };
  const batch = async () => {
    const batchId = uuidv7();
    await world.rows(`insert into skiplease.batch (id, label, created_at) values ($1, '', now())`, [batchId]);
    return batchId;
  };
  const all = (claimed: Claimed) => ({
    masks: [{ leaseId: claimed.leaseId, add: settleAll(claimed).lease.add }], outcomes: [], attempts: [], returns: [],
  });
  return [
    { name: 'submit', text: /^\s*with drawn[\s\S]* select draw from drawn$/, run: () => store.submit(rowsOf(queueId, newJobs(JOBS))) },
    {
      name: 'submit, some repeated', text: /^\s*with drawn[\s\S]*conflicting job id/, run: async () => {
        const jobs = rowsOf(queueId, newJobs(JOBS));
        await store.submit(jobs);
        await store.submit(jobs);
      },
    },
    { name: 'submit, each caller', text: /^\s*with drawn(?![\s\S]*conflicting)(?![\s\S]*granted)(?![\s\S]* select draw from drawn$)/, run: () => store.submitEach([rowsOf(queueId, newJobs(JOBS))]) },
    {
      name: 'submit, what was there', text: /^select i.id, j.queue_id, j.type/, run: async () => {
        const jobs = rowsOf(queueId, newJobs(JOBS));
        await store.submit(jobs);
        await store.submitEach([jobs]);
      },
    },
    {
      name: 'hand-off', text: /^\s*with drawn[\s\S]*granted/, run: async () => {
        await markOf(world);
        const slot = { queueId, first: 1, last: JOBS, sessionId: other, secret: newSecret() };
        const { leaseIds } = await store.handOff(id, rowsOf(queueId, newJobs(JOBS)), [slot], [{ queueId, priority: 0, mark }]);
        if (leaseIds[0] === null) throw new Error('It was not handed off.');
      },
    },
    { name: 'claim', text: /^\s*with clock[\s\S]*heap as/, run: () => fresh() },
    {
      name: 'settle', text: /^\s*with fenced/, run: async () => {
        const { lease, rows } = settleAll(await fresh());
        await store.settle([lease], rows, [lease.leaseId]);
      },
    },
    {
      name: 'submit to a batch', text: /^\s*with open/, run: async () => {
        await store.submitBatched([rowsOf(queueId, newJobs(JOBS, { options: { batchId: await batch() } }))]);
      },
    },
    {
      name: 'settle for a batch', text: /^\s*with fenced[\s\S]*counted/, run: async () => {
        const { lease, rows } = settleAll(await fresh());
        const batchId = await batch();
        await store.settle([lease], rows.map((row) => ({ ...row, batchId })), [lease.leaseId]);
      },
    },
    {
      name: 'lock, to settle', text: /for no key update of l/, run: async () => {
        const { leaseId } = await fresh();
        await store.mend((run) => store.lockLeases(run, [leaseId], 'settle'));
      },
    },
    {
      name: 'lock, to give back', text: /for update of l skip locked/, run: async () => {
        const { leaseId } = await fresh();
        await store.mend((run) => store.lockLeases(run, [leaseId], 'give back'));
      },
    },
    {
      name: 'look at jobs', text: /^\s*select i.id, j.queue_id, j.max_attempts/, run: async () => {
        const { jobIds } = await fresh();
        await store.mend((run) => store.lookAtJobs(run, jobIds));
      },
    },
    {
      name: 'write decisions: outcomes', text: /^\s*with clock[\s\S]*marked/, run: async () => {
        const claimed = await fresh();
        const outcomes = claimed.jobIds.map((jobId) => ({ jobId, leaseId: claimed.leaseId, state: 5 as const, attempt: 1, result: null, resultType: null }));
        const attempts = claimed.jobIds.map((jobId) => ({
          jobId, number: 1, leaseId: claimed.leaseId, state: 1 as const, startedAtMs: Date.now(), workerId: 'w', code: '', message: '', details: '',
        }));
        await store.mend((run) => store.writeDecisions(run, { ...all(claimed), outcomes, attempts }));
      },
    },
    {
      name: 'write decisions: returns', text: /^\s*with clock[\s\S]*marked/, run: async () => {
        const claimed = await fresh();
        const returns = claimed.jobIds.map((jobId, index) => ({ jobId, queueId, bytes: 400, priority: 0, attempt: 1, special: false, snoozed: false, delayMs: index % 2 === 0 ? 0 : 86_400_000 }));
        await store.mend((run) => store.writeDecisions(run, { ...all(claimed), returns }));
      },
    },
    {
      name: 'promote', text: /^\s*with clock[\s\S]*due as/, run: async () => {
        await store.submit(rowsOf(queueId, newJobs(JOBS, { runAtMs: Date.now() - 1_000 })));
        await store.promote();
      },
    },
    { name: 'look at the levels', text: /^\s*with recursive level/, run: () => store.scanLevels() },
    { name: 'heartbeat', text: /^\s*with clock[\s\S]*beat as/, run: () => store.beat(id, 10_000) },
    {
      name: 'resume', text: /^\s*with mine/, run: async () => {
        const { leaseId, secret } = await fresh();
        await store.takeUp(id, [{ leaseId, secret, sessionId: other, identity: '' }], []);
      },
    },
    {
      name: 'save progress', text: /^\s*insert into skiplease.progress/, run: async () => {
        const { leaseId, secret, jobIds } = await fresh();
        await store.saveProgress(jobIds.map((jobId) => ({ jobId, leaseId, secret, percent: 1, note: '', checkpoint: Buffer.from('x'), checkpointType: null })));
      },
    },
    {
      name: 'sweep', text: /^delete from skiplease.lease where id = any/, run: async () => {
        const { lease, rows } = settleAll(await fresh());
        await store.settle([lease], rows, []);
        await store.sweepLeases([lease.leaseId]);
      },
    },
  ];
}

/** Rows that no claim of the test touches: other queues, other leases, ids of the last day. */
async function fill(world: StoreWorld): Promise<void> {
  const yesterday = await world.value<string>(`select left(skiplease.uuid_floor(skiplease.now() - interval '12 hours')::text, 24)`);
  const series = `generate_series(1, ${ROWS}) n cross join lateral (select ('${yesterday}' || lpad(to_hex(n), 12, '0'))::uuid as id) i`;
  await Promise.all([
    `job (id, "position", queue_id, priority, type, payload) select id, -n, 900000 + n % 50, 0, 't', '' from ${series}`,
    `ready select -n, id, now(), 900000 + n % 50, 400, 0, 1, false from ${series}`,
    `scheduled select id, now() + interval '1 day', 900000, 400, 0, 1 from ${series}`,
    `outcome (job_id, lease_id, finished_at, state, attempt) select id, null, now(), 4, 1 from ${series}`,
    `batch (id, label, created_at) select id, '', now() from ${series} where n <= 20000`,
    `lease select -n, 0, 900000, id, id, now(), array[id], '{1}', '{0}', '0' from ${series} where n <= 20000`,
  ].map((rows) => world.rows(`insert into skiplease.${rows}`)));
}

async function clear(world: StoreWorld): Promise<void> {
  for (const table of ['job', 'ready', 'scheduled', 'outcome', 'lease', 'attempt', 'progress', 'batch cascade']) await world.rows(`truncate skiplease.${table}`);
}

async function check(t: ExecutionContext, world: StoreWorld, watch: PlanWatch, queueId: number, when: string): Promise<void> {
  // New connections: what they plan, they plan with the statistics of this moment.
  const coordinator = world.coordinator(watch.url);
  await coordinator.store.enter(coordinator.id, 10_000, '');
  for (const { name, text, run } of statements(world, coordinator, queueId)) {
    watch.take(text);
    await run();
    const plans = watch.take(text);
    t.true(plans.length > 0, `${name}, ${when}: it was seen`);
    for (const plan of plans) {
      const scans = plan.nodes.filter(({ type, relation }) => type === 'Seq Scan' && relation !== undefined && LARGE.test(relation));
      t.deepEqual(scans, [], `${name}, ${when}: no scan from end to end`);
      const worst = plan.nodes.find(({ type }) => type === 'Hash Join' || type === 'Merge Join' || type === 'Bitmap Heap Scan');
      t.is(worst, undefined, `${name}, ${when}`);
      t.true(plan.buffers <= BLOCKS_MAX + BLOCKS_PER_JOB_MAX * JOBS, `${name}, ${when}: ${plan.buffers} blocks`);
    }
    measured.set(`${name}, ${when}`, Math.max(...plans.map(({ buffers }: Plan) => buffers)));
  }
  await coordinator.store.close();
}

const measured = new Map<string, number>();

test('every hot statement goes by index, whatever the statistics say', async (t) => {
  const world = await StoreWorld.open();
  const watch = await watchPlans(world.url);
  t.teardown(async () => {
    await watch.close();
    await world.close();
  });
  // Statistics are what the test makes of them, not what autovacuum comes by with.
  const tables = await world.rows<{ name: string }>(
    `select c.relname as name from pg_class c where c.relnamespace = 'skiplease'::regnamespace and c.relkind = 'r'`);
  for (const { name } of tables) await world.rows(`alter table skiplease.${name} set (autovacuum_enabled = off)`);
  const queueId = await world.queue();
  await world.rows('analyze');
  await check(t, world, watch, queueId, 'empty');
  await clear(world);
  await fill(world);
  await check(t, world, watch, queueId, 'full, with statistics of empty tables');
  await world.rows('analyze');
  await check(t, world, watch, queueId, 'full, with fresh statistics');
  await clear(world);
  await check(t, world, watch, queueId, 'empty, with statistics of full tables');
  t.log([...measured].map(([name, blocks]) => `${blocks} ${name}`).join('\n'));
});
