/** Coordinators of two versions side by side, over a migration that the newer one brings; and one that the older cannot live with. */
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import test from 'ava';
import { JobClient } from '../../worker/index.ts';
import { startCoordinator } from '../support/coordinator.ts';
import { startWorld } from '../support/lease_world.ts';
import { startSteadyLoad } from '../support/steady_load.ts';
import { copyTree } from '../support/tree_copy.ts';
import { waitFor } from '../support/wait.ts';

const QUEUE = 'upgraded';
const DEADLINE_MS = 30_000;

/** What a version to come may do: it adds, and what was there means what it meant. */
const ADDS = `
  alter table skiplease.queue add column note text not null default '';
  alter table skiplease.ready add column note text;
  create table skiplease.noted (job_id uuid primary key, note text not null);
  create function skiplease.note(wanted uuid) returns text language sql stable set search_path = '' as 'select note from skiplease.noted where job_id = wanted';
`;
/** What it says of itself is what counts. */
const BREAKS = 'create table skiplease.unlike_before ();';

/** The project as a version to come, with one more migration. */
async function versionToCome(migration: string, text: string): Promise<string> {
  const folder = await copyTree();
  await writeFile(join(folder, 'coordinator', 'store', 'migrations', migration), text);
  return folder;
}

test.serial('the newer one migrates while the older one works; both work side by side; the older one may even be started again', async (t) => {
  const world = await startWorld({ leaseTtlMs: 3_000 });
  t.teardown(() => world.end());
  const [old] = world.members;
  const load = startSteadyLoad({ addresses: world.addresses, queue: QUEUE, workMs: 10 });
  t.teardown(() => load.stop());
  await load.more(100);

  // An application's transaction is open meanwhile: the migration waits for it, and nobody behind the migration.
  const application = await world.records.connect();
  await application.query('begin; select from skiplease.queue; select from skiplease.ready limit 1');
  const projectFolder = await versionToCome('9001_adds.sql', ADDS);
  const starting = startCoordinator({ databaseUrl: world.databaseUrl, projectFolder });
  await waitFor(async () => (await world.records.rows(
    `select from pg_stat_activity where datname = current_database() and application_name = 'skiplease migrate' and wait_event_type = 'Lock'`)).length > 0,
  { deadlineMs: DEADLINE_MS, what: 'the migration to wait' });
  const longestMs = await longestSubmitMs(old!.grpcAddress, 100);
  await application.query('rollback');
  await application.end();
  const newer = await starting;
  t.teardown(() => newer.stop());
  t.log(`while the migration waited, a submit took ${Math.round(longestMs)} ms at most`);
  t.true(longestMs < 3_000);
  t.is((await world.records.rows('select from skiplease.migration where version = 9001')).length, 1);

  const both = startSteadyLoad({ addresses: [newer.grpcAddress, old!.grpcAddress], queue: QUEUE, workMs: 10 });
  t.teardown(() => both.stop());
  await both.more(200);
  t.is(await old!.stop(), 0);
  await both.more(50);
  await world.join({ SKIPLEASE_GRPC_ADDRESS: old!.grpcAddress });
  await both.more(200);
  const accepted = [...(await load.stopSubmitting()), ...(await both.stopSubmitting())];
  const ended = await world.records.untilEnded(accepted);
  t.is(ended.length, accepted.length);
  t.deepEqual(ended.filter(({ state, attempt }) => state !== 'SUCCEEDED' || attempt !== 1), []);
  t.deepEqual(await world.records.tried(accepted), []);
});

/** The slowest of so many submits in a row. */
async function longestSubmitMs(address: string, submits: number): Promise<number> {
  const client = new JobClient({ addresses: [address] });
  let longestMs = 0;
  for (let submit = 0; submit < submits; submit += 1) {
    const startedMs = performance.now();
    await client.submit({ queue: QUEUE, type: 'work' });
    longestMs = Math.max(longestMs, performance.now() - startedMs);
  }
  client.close();
  return longestMs;
}

test.serial('a breaking migration waits for nobody to work any more, and from then on the older ones are refused', async (t) => {
  const world = await startWorld();
  t.teardown(() => world.end());
  const [old] = world.members;
  const projectFolder = await versionToCome('9001_breaks.breaking.sql', BREAKS);
  const refused = await t.throwsAsync(startCoordinator({ databaseUrl: world.databaseUrl, projectFolder }));
  t.regex(refused.message, /COORDINATORS_AT_WORK/);
  t.regex(refused.message, new RegExp(old!.grpcAddress));
  await world.submit(QUEUE, 1);

  t.is(await old!.stop(), 0);
  const newer = await startCoordinator({ databaseUrl: world.databaseUrl, projectFolder });
  t.teardown(() => newer.stop());
  const tooNew = await t.throwsAsync(startCoordinator({ databaseUrl: world.databaseUrl }));
  t.regex(tooNew.message, /SCHEMA_TOO_NEW/);
});
