/** The backup and the restore of deploy/operations, command by command: what a dump keeps, and what becomes of work that was under way. */
import { execFile } from 'node:child_process';
import { readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import test from 'ava';
import { LeaseClient, succeeded } from '../support/lease_client.ts';
import { startWorld } from '../support/lease_world.ts';
import { hasPostgres15, POSTGRES_15_BINARIES, startPostgres15 } from '../support/postgres15.ts';
import { testRunFolder } from '../support/run_folder.ts';
import { testWhen } from '../support/skip.ts';

const run = promisify(execFile);
const withPostgres15 = testWhen(await hasPostgres15(), 'PostgreSQL 15 with pg_dump', test);
const ACCEPTED = 1;
const LEASE_LOST = 3;

/** The lines of the README's shell block under this heading, with what differs from machine to machine put in. */
async function commandsUnder(heading: string, variables: Record<string, string>): Promise<string[]> {
  const text = await readFile(new URL('../../deploy/operations/README.md', import.meta.url), 'utf8');
  const [, block] = new RegExp(`^### ${heading}\\n[\\s\\S]*?^\`\`\`sh\\n([\\s\\S]*?)^\`\`\``, 'm').exec(text)!;
  return block!.trim().split('\n').map((line) => Object.entries(variables).reduce((done, [from, to]) => done.replaceAll(from, to), line));
}

async function shell(commands: string[]): Promise<void> {
  for (const command of commands) {
    await run('/bin/sh', ['-ec', command], { env: { ...process.env, PATH: `${POSTGRES_15_BINARIES}:${process.env.PATH}` } });
  }
}

withPostgres15('a dump under load is restored elsewhere: what was committed is there, and who held a lease goes on', async (t) => {
  const [source, target] = await Promise.all([startPostgres15(), startPostgres15()]);
  const file = join(await testRunFolder(), 'skiplease.dump');
  t.teardown(async () => {
    await Promise.all([source.stop(), target.stop(), rm(file, { force: true })]);
  });
  const before = await startWorld({ databaseUrl: source.url });
  t.teardown(() => before.end());
  const [done, held] = await before.submit('work', 2) as [string, string];
  const [waiting] = await before.submit('idle', 1) as [string];
  const [later] = await before.submit('idle', 1, { delayMs: 3_600_000 }) as [string];
  const worker = await before.worker({ queues: ['work'] });
  const lease = await worker.next('lease');
  await worker.report(lease.token, [succeeded(done)]);

  await shell(await commandsUnder('Backup', { '"$DATABASE_URL"': `'${source.url}'`, 'skiplease.dump': file }));
  const [afterwards] = await before.submit('work', 1) as [string];
  const newer = await worker.next('lease');

  await shell(await commandsUnder('Restore', { '"$NEW_DATABASE_URL"': `'${target.url}'`, 'skiplease.dump': file }));
  // Room for a busy machine: who names its lease within one time to live of the start keeps it.
  const after = await startWorld({ databaseUrl: target.url, leaseTtlMs: 30_000 });
  t.teardown(() => after.end());
  const { client, grpcAddress } = after.members[0]!;
  const states = await Promise.all([done, held, waiting, later].map(async (id) => (await client.get(id)).state));
  t.deepEqual(states, ['SUCCEEDED', 'LEASED', 'READY', 'SCHEDULED']);
  await t.throwsAsync(client.get(afterwards), { message: /There is no job/ }, 'what was submitted after the dump is not in it');

  const again = new LeaseClient(grpcAddress);
  t.teardown(() => again.call.cancel());
  const welcome = await again.hello({ queues: ['work'], instanceId: worker.instanceId, heldTokens: [lease.token, newer.token] });
  t.deepEqual(welcome.lostTokens, [newer.token], 'the lease of before the dump lives on');
  t.deepEqual((await again.report(lease.token, [succeeded(held)])).jobs.map(({ status }) => status), [ACCEPTED]);
  t.deepEqual((await again.report(newer.token, [succeeded(afterwards)])).jobs.map(({ status }) => status), [LEASE_LOST]);

  const [fresh] = await after.submit('work', 1) as [string];
  const next = await again.next('lease');
  t.is(next.jobs[0]!.id, fresh);
  t.deepEqual((await again.report(next.token, [succeeded(fresh)])).jobs.map(({ status }) => status), [ACCEPTED]);
});
