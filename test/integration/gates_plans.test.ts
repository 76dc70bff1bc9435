/**
 * What passes gates reads few blocks for each job, however many gates and waiting jobs there are and whatever the statistics say; on
 * hot connections as on ordinary ones, which cancel.
 */
import test from 'ava';
import type pg from 'pg';
import { newJobs } from '../support/store_jobs.ts';
import { StoreWorld } from '../support/store_world.ts';

const KEYS = 20_000;
const WAITING = 5;
const JOBS = 100;
/** For each job: a few indexes of four tables, three levels deep, with their heaps, looked at by a few statements. */
const BLOCKS_PER_JOB_MAX = 150;
const PINNED = ['enable_seqscan', 'enable_hashjoin', 'enable_mergejoin', 'enable_bitmapscan', 'enable_material', 'enable_memoize', 'jit'];

/** Jobs that are in, and jobs in line behind each of them, as the functions leave them. */
async function fill(world: StoreWorld): Promise<void> {
  const prefix = await world.value<string>('select left(skiplease.uuid_floor(skiplease.now())::text, 24)');
  const idOf = (number: string) => `('${prefix}' || lpad(to_hex(${number}), 12, '0'))::uuid`;
  await world.rows(`insert into skiplease.gate (queue_id, kind, key) select 1, 2, 'key ' || n from generate_series(1, ${KEYS}) n`);
  await world.rows(`insert into skiplease.job (id, queue_id, priority, type, payload, options)
    select ${idOf('g.id * 10 + n')}, 1, 0, 't', '', jsonb_build_object('serialKey', g.key) from skiplease.gate g, generate_series(0, ${WAITING}) n`);
  await world.rows(`insert into skiplease.gate_holder (job_id, kind, gate_id, "position", owes) select ${idOf('id * 10')}, 2, id, id, false from skiplease.gate`);
  await world.rows(`insert into skiplease.blocked (job_id, queue_id, bytes, priority, attempt, reason, since, gate_id, "position")
    select ${idOf('g.id * 10 + n')}, 1, 400, 0, 1, 2, now(), g.id, g.id + n from skiplease.gate g, generate_series(1, ${WAITING}) n`);
}

/** Blocks that the statement reads, with all that its functions run. Nothing of it stays. */
async function blocks(client: pg.Client, prepare: () => Promise<unknown>, text: string, values: unknown[]): Promise<number> {
  await client.query('begin');
  await prepare();
  const { rows } = await client.query<{ 'QUERY PLAN': [{ Plan: Record<string, number> }] }>(`explain (analyze, buffers, format json) ${text}`, values);
  await client.query('rollback');
  const plan = rows[0]!['QUERY PLAN'][0].Plan;
  return plan['Shared Hit Blocks']! + plan['Shared Read Blocks']!;
}

test('with many keys as with few', async (t) => {
  const world = await StoreWorld.open();
  t.teardown(() => world.close());
  for (const table of ['job', 'gate', 'gate_holder', 'blocked']) {
    const names = await world.rows<{ name: string }>(`select oid::regclass as name from pg_class where oid = 'skiplease.${table}'::regclass and relkind = 'r'
      union all select inhrelid::regclass from pg_inherits where inhparent = 'skiplease.${table}'::regclass`);
    for (const { name } of names) await world.rows(`alter table ${name} set (autovacuum_enabled = off)`);
  }
  await world.queue();
  await world.rows('analyze');
  await fill(world);
  const holders = (await world.rows<{ id: string }>(`select job_id as id from skiplease.gate_holder order by gate_id limit ${JOBS}`)).map(({ id }) => id);
  const measured: string[] = [];
  for (const statistics of ['of empty tables', 'fresh']) {
    if (statistics === 'fresh') await world.rows('analyze');
    for (const [connection, settings] of [['hot', [...PINNED.map((name) => `set ${name} = off`), 'set plan_cache_mode = force_generic_plan']], ['ordinary', []]] as const) {
      const client = await world.client();
      await client.query(["set search_path = ''", ...settings].join(';'));
      const insert = (keyOf: (index: number) => string) => {
        const jobs = newJobs(JOBS);
        return {
          ids: jobs.map(({ id }) => id),
          run: () => client.query(`insert into skiplease.job (id, queue_id, priority, type, payload, options)
            select id, 1, 0, 't', '', jsonb_build_object('serialKey', key) from unnest($1::uuid[], $2::text[]) as i (id, key)`,
          [jobs.map(({ id }) => id), jobs.map((_, index) => keyOf(index))]),
        };
      };
      const [fresh, known, one] = [insert((index) => `new ${index}`), insert((index) => `key ${index + 1}`), insert(() => 'key 7')];
      const nothing = () => Promise.resolve();
      for (const [what, prepare, text, ids] of [
        ['come to new keys', fresh.run, 'select * from skiplease.enter($1::uuid[], false)', fresh.ids],
        ['come to known keys', known.run, 'select * from skiplease.enter($1::uuid[], false)', known.ids],
        ['come to one key', one.run, 'select * from skiplease.enter($1::uuid[], false)', one.ids],
        ['leave', nothing, 'select * from skiplease.after_end($1::uuid[])', holders],
        ['lock', nothing, 'select skiplease.lock_gates_of($1::uuid[])', holders],
      ] as const) {
        const read = await blocks(client, prepare, text, [ids]);
        measured.push(`${Math.round(read / JOBS)} blocks a job: ${what}, ${connection}, statistics ${statistics}`);
        t.true(read <= BLOCKS_PER_JOB_MAX * JOBS, measured.at(-1));
      }
      if (connection !== 'hot') continue;
      // Once before: the first time the catalogs are read, too.
      const sweep = 'select * from skiplease.sweep_gates(500)';
      const due = await blocks(client, () => client.query(sweep), sweep, []);
      t.true(due <= 20, `${due} blocks to find no gate due, statistics ${statistics}`);
    }
  }
  t.log(measured.join('\n'));
});
