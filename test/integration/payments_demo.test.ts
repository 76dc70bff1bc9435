/** `npm run demo` as people run it: in a process of its own, with everything real. */
import { chmodSync, existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test, { type ExecutionContext } from 'ava';
import pg from 'pg';
import { Fleet } from '../../worker/payments/demo/fleet.ts';
import { killLeaseHolder, NoLeaseHeldError } from '../../worker/payments/demo/kill.ts';
import { Operator } from '../../worker/payments/demo/operator.ts';
import { prepareLedger } from '../../worker/payments/ledger.ts';
import { createTestDatabase, type TestDatabase } from '../support/database.ts';
import { startScript } from '../support/processes.ts';
import { waitFor } from '../support/wait.ts';

const demo = new URL('../../worker/payments/demo.ts', import.meta.url).pathname;
const row = (reference: string, amount = '12.50', token = 'tok_visa'): string =>
  `${reference},2026-03-02T09:15:00Z,Blue Door Books,Zoë,DE89370400440532013000,EUR,${amount},card,${token},`;
const header = 'reference,created,merchant,customer,iban,currency,amount,method,token,note';

/** A data folder and, unless `embedded`, a database; both go when the test has ended. */
async function surroundings(t: ExecutionContext, kind: 'embedded' | 'external'): Promise<{ folder: string; database: TestDatabase | undefined; environment: Record<string, string> }> {
  const folder = mkdtempSync(join(tmpdir(), 'skiplease-demo-'));
  // PostgreSQL does not run as root: whoever runs it instead must be able to pass.
  chmodSync(folder, 0o755);
  const database = kind === 'external' ? await createTestDatabase() : undefined;
  t.teardown(async () => {
    await database?.drop();
    rmSync(folder, { recursive: true, force: true });
  });
  return { folder, database, environment: { SKIPLEASE_DATA_DIR: folder, DATABASE_URL: database?.url ?? '' } };
}

async function runDemo(environment: Record<string, string>, ...parameters: string[]): Promise<{ code: number; text: string }> {
  const running = await startScript(demo, parameters, environment);
  const code = await running.exited;
  return { code, text: running.logs.join('\n') };
}

test.serial('the example file, an embedded database, a worker killed half-way', async (t) => {
  t.timeout(120_000);
  const { environment } = await surroundings(t, 'embedded');
  const { code, text } = await runDemo(environment);
  t.is(code, 0, text);
  t.regex(text, /SIGKILL to demo-\d \(pid \d+\) at [56]\d%: it left \d+ jobs in \d+ leases?\.\n/);
  t.regex(text, /Its leases ran out after \d+\.\d s\. demo-\d did \d+ of the jobs/);
  t.regex(text, /\d+%\s+[\d,]+\/s\s+ready [\d,]+\s+leased/);
  t.regex(text, /a batch of 220 statements that was watched to its end: 180 written and mailed/);
  t.regex(text, /20 failed statements driven again/);
  t.regex(text, /All invariants held\. 10,000 jobs in/);
  t.notRegex(text, /BROKEN/);
  t.false(text.includes('\u001B'), 'no escape sequences where the output is no terminal');
});

test.serial('one\'s own file, repeated, in small leases; rows that cannot be read are named and stop nothing', async (t) => {
  t.timeout(120_000);
  const { folder, environment } = await surroundings(t, 'external');
  const path = join(folder, 'own.csv');
  writeFileSync(path, [
    header, ...Array.from({ length: 90 }, (_, index) => row(`pi_${index}`)), row('bad', '12.345'), row('open').replace('Zoë', '"Zoë'),
    row('declined', '1.00', 'tok_decline_expired_card'), row('late', '1.00', 'tok_timeout_twice'), row('never', '1.00', 'tok_provider_down'), row('pi_1'), '',
  ].join('\n'));
  const { code, text } = await runDemo(environment, '--input', path, '--jobs', '700', '--batch', '20', '--kill-at', '85');
  t.is(code, 0, text);
  t.regex(text, /2 rows cannot be read, and were not submitted:\n\s+line 92: amount 12\.345 has more decimals than EUR \(2\)\n\s+line 93: a quote/);
  t.regex(text, /own\.csv, 94 intents, repeated to 700/);
  t.regex(text, /up to 20 jobs a lease/);
  t.regex(text, /All invariants held\. 700 jobs/);
  const list = readFileSync(join(folder, 'demo', 'killed_jobs.csv'), 'utf8').trimEnd().split('\n');
  const [, held] = / it left (\d+) jobs? in /.exec(text)!;
  t.is(String(list.length - 1), held!);
});

test.serial('a file so small that all of it is leased at once', async (t) => {
  const { folder, environment } = await surroundings(t, 'external');
  const path = join(folder, 'small.csv');
  writeFileSync(path, [header, row('a'), row('b'), row('a')].join('\n'));
  const { code, text } = await runDemo(environment, '--input', path);
  t.is(code, 0, text);
  t.regex(text, /SIGKILL to demo-/);
  t.regex(text, /All invariants held\. 3 jobs/);
});

test.serial('a ledger that is tampered with is found out: exit 1, and the culprit is named', async (t) => {
  const { folder, database, environment } = await surroundings(t, 'external');
  const client = new pg.Client({ connectionString: database!.url });
  await client.connect();
  await prepareLedger(client);
  await client.query(`
    create function ledger.loses_a_fee() returns trigger language plpgsql as $$ begin return null; end $$;
    create trigger loses_a_fee before insert on ledger.posting for each row when (new.account = 'fees' and new.amount_minor = -7777) execute function ledger.loses_a_fee()`);
  await client.end();
  const path = join(folder, 'own.csv');
  writeFileSync(path, [header, ...Array.from({ length: 30 }, (_, index) => row(`pi_${index}`)), row('robbed', '5184.75')].join('\n'));
  const { code, text } = await runDemo(environment, '--input', path);
  t.is(code, 1, text);
  t.regex(text, /BROKEN: the ledger balances to zero .*\n\s+entry \d+, robbed \(line 32, copy 1\), is off by EUR 7777/);
  t.regex(text, /1 of 13 invariants is BROKEN\./);
});

test.serial('without a lease held there is nothing to kill, and that is a failure', async (t) => {
  const { folder, database } = await surroundings(t, 'external');
  process.env['DATABASE_URL'] = database!.url;
  const fleet = new Fleet(folder);
  t.teardown(() => fleet.stopAll());
  const { grpcAddress } = await fleet.startCoordinator();
  const operator = new Operator(grpcAddress, fleet.queue);
  await fleet.startWorker(1, 10);
  await operator.setLeaseJobsMax(10);
  await t.throwsAsync(killLeaseHolder(fleet, operator), { instanceOf: NoLeaseHeldError });
  t.is(fleet.workers.length, 1);
  operator.close();
  await fleet.stopAll();
});

test.serial('interrupted, it ends what it started and exits 130', async (t) => {
  const { folder, environment } = await surroundings(t, 'external');
  const running = await startScript(demo, ['--jobs', '200000'], environment);
  const workers = await running.line((line) => line.includes('demo-2 (pid'), 60_000, 'the workers');
  const pids = [...workers.matchAll(/pid (\d+)/g)].map(([, pid]) => Number(pid));
  t.is(pids.length, 2);
  await running.line((line) => line.includes('leased'), 30_000, 'the first progress');
  running.kill('SIGINT');
  t.is(await running.exited, 130, running.logs.join('\n'));
  await waitFor(() => pids.every((pid) => !existsSync(`/proc/${pid}`)), { deadlineMs: 5_000, what: 'the workers to be gone' });
  t.false(running.logs.some((line) => line.includes('The demo failed')), running.logs.join('\n'));
  t.is(readdirSync(join(folder, 'demo')).filter((file) => file.endsWith('.log')).length, 3);
});

test.serial('options that make no sense are refused in words', async (t) => {
  const { folder, environment } = await surroundings(t, 'embedded');
  const unreadable = join(folder, 'unreadable.csv');
  writeFileSync(unreadable, `${header}\n${row('a', '0.00')}\n`);
  for (const [parameters, message] of [
    [['--batch', '0'], /--batch must be a whole number from 1 to 1000/],
    [['--kill-at', '100'], /--kill-at must be a whole number from 1 to 99/],
    [['--frobnicate'], /--frobnicate[^]*--input FILE/],
    [['--input', '/no/such/file.csv'], /no such file/],
    [['--input', demo], /header lacks reference/],
    [['--input', unreadable], /Not one row of .* can be read\.[^]*line 2: amount is zero/],
  ] as [string[], RegExp][]) {
    const { code, text } = await runDemo(environment, ...parameters);
    t.is(code, 1);
    t.regex(text, message);
    t.notRegex(text, /\n\s+at /);
  }
  const help = await runDemo(environment, '--help');
  t.is(help.code, 0);
  t.regex(help.text, /--kill-at PERCENT/);
});
